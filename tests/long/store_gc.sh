#!/bin/bash
# 100,000 schedules of the collector beside everything else, in parts of 1,000; SHARD=i/n does one
# part of n.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
P=$(dirname "${KILN_EXE:-$KILN}")/tests/unit/store
shard=${SHARD:-1/1}
i=${shard%/*} n=${shard#*/}

for ((k = i; k <= 100; k += n)); do
	long_part store_gc "schedules-${k}000" "$P/store-gc-schedules" 1000 "${k}000"
done
