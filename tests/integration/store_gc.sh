#!/bin/bash
# Collection beside everything else, on a deterministic scheduler: tests/unit/store/gc_schedules.c.
# The first seed is from $SEED, else of the day. With a rule of the protocol left out, the same
# schedules must find the damage.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
P=$(dirname "${KILN_EXE:-$KILN}")/tests/unit/store
SEED=${SEED:-$(($(date +%j) * 10000))}
echo "SEED=$SEED"

half() { # NUMBER OF SCHEDULES, FIRST SEED
	"$P/store-gc-schedules" "$1" "$2"
}
half 2500 $((SEED + 2500)) >"$T/second" 2>&1 &
second=$!
check schedules-first-half half 2500 "$SEED"
other_half() { wait "$second" || { cat "$T/second"; return 1; }; }
check schedules-second-half other_half
for rule in pin stamp hold again alone; do
	check "without-rule-$rule" status 1 "$P/store-gc-schedules" 1000 "$SEED" "broken=$rule"
done
