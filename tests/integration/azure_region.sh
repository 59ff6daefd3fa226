#!/bin/bash
# A region in a container of Azure's Blob service, by Microsoft's emulator: the conformance suite with
# requests and answers cut, then a version that goes there, is proven, read and taken away again.
. "$SRC/tests/integration/lib.sh"
. "$SRC/tests/integration/azurite_lib.sh"
P=$(dirname "$KILN_EXE")/tests/unit/store
V=golden/debian-12/1.0.0
azurite_start azure_region || exit 0
trap azurite_stop EXIT

check "what every region must do" env KILN_TEST_AZURE="$AZURITE_PORT" "$P/store-test_region"

url=$(azurite_region cloud)
chmod 604 "$T/cloud.json"
check "a secret that everybody may read is refused" status 3 "$KILN" region add cloud --url "$url"
chmod 600 "$T/cloud.json"
check "a container becomes a region" "$KILN" region add cloud --url "$url"
"$KILN" region list --json >"$T/regions.json"
check "no secret is shown" status 1 grep -qF "$AZURITE_KEY" "$T/regions.json"
check "a version goes there" "$KILN" version update $V --region eastus --region westeurope --region cloud
"$KILN" version show $V --json >"$T/there.json"
check "and is Completed there" same "Completed" \
	"$(jq -r '.properties.replicationStatus.summary[] | select(.region == "cloud").state' "$T/there.json")"
packs() { # REGION
	"$KILN" region list --json | jq --arg r "$1" '.[] | select((.name // .region) == $r).packs'
}
check "packs are there" [ "$(packs cloud)" -gt 0 ]
check "every byte is proven" "$KILN" store check --read-data
check "it goes away again" "$KILN" version update $V --region eastus --region westeurope \
	--set properties.safetyProfile.allowDeletionOfReplicatedLocations=true
check "its packs, too, within two rounds" "$KILN" store gc
check "its packs, too, within two rounds (2)" "$KILN" store gc
check "no pack is left there" same 0 "$(packs cloud)"
check "the region is given up" "$KILN" region remove cloud --delete-data
check "nothing is left behind" nothing_left
