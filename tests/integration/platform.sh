#!/bin/bash
# Platform images: the same packages give the same bits, a second use makes nothing, both
# generations share one disk, bad names are refused.
. "$SRC/tests/integration/lib.sh"
urn=Debian:debian-12:12-gen2
second=$WORK/platform-second

make_image() { # DATA NAME OUT
	"$KILN" --data "$1" platform make "$2" --json >"$3"
}

check "a platform image is made or found" make_image "$KILN_DATA" $urn "$T/first.json"
check "a second call finds it kept" make_image "$KILN_DATA" $urn "$T/again.json"
check "and made nothing" same false "$(jq .made "$T/again.json")"
check "the same version" same "$(jq -r .version "$T/first.json")" "$(jq -r .version "$T/again.json")"
check "generation 1 is kept with it" make_image "$KILN_DATA" Debian:debian-12:12 "$T/gen1.json"
check "and is the same disk" same "$(jq -r .disk.digest "$T/first.json")" "$(jq -r .disk.digest "$T/gen1.json")"
check "both are listed" same 2 "$("$KILN" --data "$KILN_DATA" platform list --json |
	jq --arg v "$(jq -r .version "$T/first.json")" '[.[] | select(.versions | index($v))] | length')"
check "no credentials in the image's APT entries" bash -c "! jq -r '.sources[]' '$T/first.json' | grep -q '://[^/ ]*@'"

# From nothing, in another data directory, at another time.
check "made again from scratch" make_image "$second" $urn "$T/second.json"
check "it was made there" same true "$(jq .made "$T/second.json")"
if [ "$(jq -S .packages "$T/first.json")" != "$(jq -S .packages "$T/second.json")" ] ||
	[ "$(jq -r .version "$T/first.json")" != "$(jq -r .version "$T/second.json")" ]; then
	echo "skip equal packages give equal disks: the archive changed between the two"
else
	check "equal packages give equal disks" same "$(jq -r .disk.digest "$T/first.json")" \
		"$(jq -r .disk.digest "$T/second.json")"
fi
check "nothing else is left there" same "" "$(find "$second/scratch" "$second/journal" -mindepth 1 \
	! -name '*.lock' -print)"

check "an unknown image is refused" status 1 "$KILN" --data "$second" platform make Debian:debian-12:nope
check "an unknown version is refused" status 1 "$KILN" --data "$second" platform make $urn:12.20000101.0
check "a bad name is refused" status 3 "$KILN" --data "$second" platform make debian-12
check "no name is a usage error" status 2 "$KILN" --data "$second" platform make

# An archive whose signature is not accepted: nothing is made of it.
bad=$WORK/platform-bad
mkdir -p "$bad"
cat >"$bad/kiln.yaml" <<END
platform:
  sources:
    - |
$("$KILN" --data "$second" platform make $urn --json | jq -r '.sources[0]' |
	sed -e 's|^Signed-By:.*|Signed-By: /usr/share/keyrings/debian-archive-removed-keys.gpg|' -e 's/^/      /')
END
"$KILN" --data "$bad" platform make $urn >"$T/bad.out" 2>&1
check "an archive that the keyring does not know is refused" same 3 $?
check "and the reason is given" grep -q 'not accepted' "$T/bad.out"
rm -rf "$second" "$bad"
