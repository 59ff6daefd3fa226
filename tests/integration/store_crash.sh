#!/bin/bash
# The image store after power cuts, kills and rot. The programs are tests/unit/store/crash_states.c,
# kill.c and rot.c; a seed from $SEED, else of the day, is printed and repeats a run.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
P=$(dirname "${KILN_EXE:-$KILN}")/tests/unit/store
SEED=${SEED:-$(date +%j)}
echo "SEED=$SEED"

quietly() { # COMMAND...: its last line is shown also on success
	local got=0
	"$@" >"$T/run.out" 2>&1 || got=$?
	cat "$T/run.out"
	tail -n 1 "$T/run.out" >>"$T/totals"
	return $got
}
check power-cut-states quietly "$P/store-crash" 2400 "$SEED"
check power-cut-states-of-a-lying-disk quietly "$P/store-crash" 300 "$SEED" lying
check kill-at-any-call quietly "$P/store-kill" 900 "$SEED"
check rot-is-found-and-healed quietly "$P/store-rot" 500 "$SEED"
check rot-of-encrypted-packs quietly "$P/store-rot" 200 "$SEED" encrypted
sed 's/^/  /' "$T/totals"
