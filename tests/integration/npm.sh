#!/bin/bash
# The Azure clients of npm, pinned by tests/clients/nodeN, against `kiln serve`. Runs the newest set that
# this Node runs; the newer ones are skipped, by name.
. "$SRC/tests/integration/lib.sh"
. "$SRC/tests/integration/serve_lib.sh"
node=$(node -p 'process.versions.node.split(".")[0]') set=
for d in "$SRC"/tests/clients/node*/; do
	major=$(basename "$d" | tr -dc 0-9)
	if [ "$major" -gt "$node" ]; then
		echo "skip clients for Node $major: this is Node $node"
	elif [ -z "$set" ] || [ "$major" -gt "$set" ]; then
		set=$major
	fi
done
[ -n "$set" ] || { echo "skip npm: no clients are pinned for Node $node"; exit 0; }
command -v npm >/dev/null || apt-get install -qy --no-install-recommends npm >"$T/apt.out" 2>&1
command -v npm >/dev/null || { echo "skip npm: npm is not installed and cannot be"; exit 0; }
cp -r "$SRC/tests/clients" "$T/clients"
cp "$T/clients/node$set"/{package.json,package-lock.json,.npmrc} "$T/clients/"
if ! (cd "$T/clients" && timeout 300 npm ci --ignore-scripts --no-audit --no-fund >"$T/npm.out" 2>&1); then
	tail -n 5 "$T/npm.out" | sed 's/^/  | /'
	echo "skip npm: the clients cannot be installed here"
	exit 0
fi
echo "ok the clients of Node $set are installed as pinned"
setup_gallery || exit 1
serve_start "$KILN_DATA" || exit 1
trap 'serve_stop 2>/dev/null' EXIT
NODE_EXTRA_CA_CERTS=$(jq -r .caFile "$KILN_DATA/admin.json")
export NODE_EXTRA_CA_CERTS GOLDEN=$GAL/images/debian-12/versions/1.0.0
(cd "$T/clients" && node --no-warnings all.mjs) || echo "not ok the clients ended with status $?"
trap - EXIT
check "the server ends by itself" serve_stop
