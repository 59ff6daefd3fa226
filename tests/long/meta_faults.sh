#!/bin/bash
# The databases' faults and races at length: 5,000 cuts and faults of each, ten times the kills of the
# server, ten thousand jobs. Each part notes its result with the commit in tests/results/meta_faults.log.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
P=$(dirname "${KILN_EXE:-$KILN}")/tests/unit/meta
log=$SRC/tests/results/meta_faults.log
commit=$(git -C "$SRC" rev-parse --short HEAD)

part() { # PROGRAM TIMES
	local start=$SECONDS got=0
	KILN_LONG=$2 "$P/meta-$1" || got=$?
	echo "$commit $1 times $2 status $got seconds $((SECONDS - start))" >>"$log"
	return $got
}
mkdir -p "$SRC/tests/results"
check "PostgreSQL cut, terminated, killed" part test_pg_faults 5
check "SQLite on a failing file system" part test_sqlite_faults 5
check "many workers, many jobs" part test_concurrent 50
