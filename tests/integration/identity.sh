#!/bin/bash
# Two VMs from one version get different identities; the sealed disk has none; booting leaves the
# version untouched.
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
V=$GAL/images/debian-12/versions/1.0.0
digest() {
	"$KILN" rest GET "$V" --api-version 2023-07-03 | jq -er .properties.kiln.disk.digest
}
before=$(digest)
check "the version has a digest" test -n "$before"
for n in 1 2; do
	check "VM $n boots to the agent" bash -c "'$KILN' run '$V' --wait --json >'$T/vm$n.json'"
	check "VM $n: no failed unit" same '[]' "$(jq -c .failedUnits "$T/vm$n.json")"
	check "VM $n: Secure Boot" same true "$(jq -r .secureBoot "$T/vm$n.json")"
done
differ() {
	local a b
	a=$(jq -er ".$1" "$T/vm1.json") && b=$(jq -er ".$1" "$T/vm2.json") && [ "$a" != "$b" ] ||
		{ echo "$1: '$a' and '$b'"; return 1; }
}
check "machine-id differs" differ machineId
check "SSH host keys differ" differ hostKey
check "host names differ" differ hostName
check "booting leaves the version's record untouched" same "$before" "$(digest)"
check "booting leaves every chunk untouched" "$KILN" store check --read-data
check "nothing is left behind" nothing_left

# Generation 1: the same content by BIOS boot.
check "the platform image boots by BIOS" bash -c "'$KILN' run Debian:debian-12:12:latest --wait --json >'$T/bios.json'"
check "BIOS boot: no failed unit" same '[]' "$(jq -c .failedUnits "$T/bios.json")"
check "nothing is left behind at the end" nothing_left
