#!/bin/bash
# The first thing a new user does, and what it must have made. Later suites use its data directory.
. "$SRC/tests/integration/lib.sh"
cd "$SRC" || exit 1

check "make quickstart" make --no-print-directory quickstart
cp "$T/check.out" "$WORK/quickstart.out"
sed -n '/Where the time went/,/^$/p' "$WORK/quickstart.out"

V=$GAL/images/debian-12/versions/1.0.0
"$KILN" rest GET "$V?\$expand=ReplicationStatus" --api-version 2023-07-03 >"$T/version.json"
check "both regions are Completed" same "eastus Completed westeurope Completed" \
	"$(jq -r '[.properties.replicationStatus.summary[] | "\(.region | ascii_downcase | gsub(" "; "")) \(.state)"] | sort | join(" ")' "$T/version.json")"
check "the version succeeded" same Succeeded "$(jq -r .properties.provisioningState "$T/version.json")"
check "nothing is left behind" nothing_left

# Baking once more runs no step.
"$KILN" bake examples/golden-debian/template.json -g golden --json >"$T/again.jsonl"
check "a second bake exits 0" status 0 "$KILN" bake examples/golden-debian/template.json -g golden
check "a second bake runs no step" same "0" "$(jq -s '[.[] | select(.type == "step.done" and .cached == false
	and .stage != "source" and .stage != "verify")] | length' "$T/again.jsonl")"

# Its validators' boot left a boot profile, so that a version that asks for one needs no boot of its own.
cp -r examples/golden-debian "$T/golden"
jq '.properties.optimize = {vmBoot: {state: "Enabled"}}' examples/golden-debian/template.json >"$T/golden/optimized.json"
check "optimize.vmBoot" bash -c "'$KILN' bake '$T/golden/optimized.json' -g golden --name golden-optimized --json >'$T/optimized.jsonl'"
check "finds the profile that the validators' boot recorded" jq -se '[.[] | select(.type == "step.done" and .stage == "optimize")]
	| length == 1 and .[0].kind == "BootProfile" and .[0].cached and .[0].chunks > 100' "$T/optimized.jsonl"
digest() {
	jq -er .properties.kiln.disk.digest "$1" || echo "no digest in $1"
}
"$KILN" rest GET "$V" --api-version 2023-07-03 >"$T/later.json"
check "the digest of 1.0.0 stays" same "$(digest "$T/version.json")" "$(digest "$T/later.json")"
check "1.0.0 has a digest" grep -q '"digest": "sha256:' "$T/later.json"
