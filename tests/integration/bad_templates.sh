#!/bin/bash
# Bad templates: each a 400-class error that names the field, exit status 3, and nothing stored.
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
template good "" '[{"type":"Shell","name":"a","inline":["true"]}]'
jq '. + {identity: {type: "None"}}' "$T/good.json" >"$T/base.json"

# refused NAME FIELD JQ_EDIT: the edited template is refused and the error's target is FIELD.
refused() {
	local code=0
	jq "$3" "$T/base.json" >"$T/bad.json"
	"$KILN" rest PUT "$TPL/refused" --api-version 2024-02-01 --body "$T/bad.json" --json >"$T/out.json" 2>/dev/null || code=$?
	check "$1: exit status 3" same 3 $code
	check "$1: the target is $2" same "$2" "$(jq -r '.error.target // .error.details[0].target // empty' "$T/out.json")"
	check "$1: code and message" jq -e '.error.code != "" and (.error.message | length > 20)' "$T/out.json"
	check "$1: nothing is stored" status 1 "$KILN" rest GET "$TPL/refused" --api-version 2024-02-01
}
refused "wrong type" properties.buildTimeoutInMinutes '.properties.buildTimeoutInMinutes = "ten"'
refused "out of bounds" properties.buildTimeoutInMinutes '.properties.buildTimeoutInMinutes = 961'
refused "unknown customizer" 'properties.customize[0].type' '.properties.customize[0].type = "Perl"'
refused "missing distribute" properties.distribute 'del(.properties.distribute)'
refused "empty distribute" properties.distribute '.properties.distribute = []'
refused "bad checksum" 'properties.customize[0].sha256Checksum' '.properties.customize[0] = {type: "Shell", name: "a", scriptUri: "https://example.org/x", sha256Checksum: "xyz"}'
refused "script and inline" 'properties.customize[0]' '.properties.customize[0].scriptUri = "https://example.org/x"'
refused "bad version name" 'properties.distribute[0].galleryImageId' '.properties.distribute[0].galleryImageId += "/versions/1.0"'
refused "unknown region" 'properties.distribute[0].targetRegions[0].name' '.properties.distribute[0].targetRegions[0].name = "atlantis"'
refused "unknown source type" properties.source.type '.properties.source.type = "Floppy"'
refused "missing source" properties.source 'del(.properties.source)'
refused "unknown field" properties.customise '.properties.customise = []'
refused "relative destination" 'properties.customize[0].destination' '.properties.customize[0] = {type: "File", name: "f", sourceUri: "https://example.org/x", destination: "etc/motd"}'
refused "foreign staging group" properties.stagingResourceGroup '.properties.stagingResourceGroup = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/g"'
refused "staging group is no group" properties.stagingResourceGroup '.properties.stagingResourceGroup = "somewhere"'
refused "restart without unit" 'properties.customize[0].restartTimeout' '.properties.customize[0] = {type: "WindowsRestart", restartTimeout: "5"}'
refused "bad update filter" 'properties.customize[0].filters' '.properties.customize[0] = {type: "WindowsUpdate", filters: ["only:x"]}'
refused "system without elevation" 'properties.customize[0].runAsSystem' '.properties.customize[0] = {type: "PowerShell", inline: ["x"], runAsSystem: true}'
refused "duplicate run output" 'properties.distribute[1].runOutputName' '.properties.distribute += [.properties.distribute[0]]'

# Nesting: two megabytes of it.
{ head -c 1000000 /dev/zero | tr '\0' '['; head -c 1000000 /dev/zero | tr '\0' ']'; } >"$T/nest.json"
check "2 MB of nesting: exit status 3" status 3 "$KILN" rest PUT "$TPL/nest" --api-version 2024-02-01 --body "$T/nest.json"
printf '{"location":"eastus","location":"eastus"}' >"$T/dup.json"
check "duplicate keys: exit status 3" status 3 "$KILN" rest PUT "$TPL/dup" --api-version 2024-02-01 --body "$T/dup.json"
check "no api-version is refused" status 3 "$KILN" rest GET "https://127.0.0.1:8443/subscriptions/$(subscription)$TPL/nest?x=1&api-version="
check "kiln bake of a bad template: exit status 3" status 3 "$KILN" bake "$T/nest.json" -g golden
