#!/bin/bash
# 100,000 schedules of the collector beside everything else, in parts of 1,000; SHARD=i/n does one
# part of n. Parts that passed are in tests/results/store_gc.log with the commit and are not done
# again for it, so a run that was stopped goes on.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
P=$(dirname "${KILN_EXE:-$KILN}")/tests/unit/store
log=$SRC/tests/results/store_gc.log
commit=$(git -C "$SRC" rev-parse --short HEAD)
shard=${SHARD:-1/1}
i=${shard%/*} n=${shard#*/}

part() { # FIRST SEED
	local start=$SECONDS got=0
	"$P/store-gc-schedules" 1000 "$1" || got=$?
	echo "$commit seeds $1 to $(($1 + 999)) status $got seconds $((SECONDS - start))" >>"$log"
	return $got
}
mkdir -p "$SRC/tests/results"
for ((k = i; k <= 100; k += n)); do
	grep -qs "^$commit seeds ${k}000 to .* status 0 " "$log" && { echo "ok schedules-${k}000"; continue; }
	check "schedules-${k}000" part "${k}000"
done
