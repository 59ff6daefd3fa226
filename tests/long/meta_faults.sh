#!/bin/bash
# The databases' faults and races at length: 5,000 cuts and faults of each, ten times the kills of the
# server, ten thousand jobs.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
P=$(dirname "${KILN_EXE:-$KILN}")/tests/unit/meta

KILN_LONG=5 long_part meta_faults "PostgreSQL-cut-terminated-killed" "$P/meta-test_pg_faults"
KILN_LONG=5 long_part meta_faults "SQLite-on-a-failing-file-system" "$P/meta-test_sqlite_faults"
KILN_LONG=50 long_part meta_faults "many-workers-many-jobs" "$P/meta-test_concurrent"
