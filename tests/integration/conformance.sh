#!/bin/bash
# Every operation of the published specifications that is served, asked for over HTTPS as their
# examples do, in several api-versions; statuses and bodies are held against the schemas.
# tests/conformance says how; its gaps.json is the list of what is not served, and why.
. "$SRC/tests/integration/lib.sh"
. "$SRC/tests/integration/serve_lib.sh"
. "$SRC/tests/integration/files_lib.sh"
node "$SRC/tests/conformance/selftest.mjs"
setup_gallery && files_start || exit 1
trap 'files_stop; serve_stop 2>/dev/null' EXIT
echo 'a package' >"$T/files/package"
serve_start "$KILN_DATA" || exit 1
export PACKAGE=$FILES_URL/package
node --no-warnings "$SRC/tests/conformance/check.mjs" "$KILN_DATA" || echo "not ok the checker ended with status $?"
trap files_stop EXIT
check "the server ends by itself" serve_stop
