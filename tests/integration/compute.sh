#!/bin/bash
# Disks, images and sharing against `kiln serve`: VHDs that QEMU made go up by signed URL in pieces,
# become versions with data disks, and come down again. No guest boots.
. "$SRC/tests/integration/lib.sh"
. "$SRC/tests/integration/serve_lib.sh"
D=$T/data
DV=api-version=2022-07-02
GV=api-version=2025-12-03
MIB=1048576

# put PATH QUERY JSON: a PUT that must be accepted, and then succeed.
put() {
	local code
	code=$(api PUT "$1?$2" -d "$3" -o "$T/put" -w '%{http_code}')
	case $code in 20[0-2]) ;; *)
		echo "PUT $1: $code $(cat "$T/put")"
		return 1
		;;
	esac
	same Succeeded "$(settled "$1?$2")" || { jq -c . "$T/put"; return 1; }
}
# post PATH QUERY JSON: prints the result, after its operation when there is one.
post() {
	local code where
	code=$(api POST "$1?$2" -d "$3" -D "$T/post.head" -o "$T/post" -w '%{http_code}')
	where=$(tr -d '\r' <"$T/post.head" | sed -n 's,^Location: https://[^/]*,,Ip')
	while [ "$code" = 202 ]; do
		code=$(api GET "$where" -o "$T/post" -w '%{http_code}')
	done
	cat "$T/post"
	case $code in 200 | 204) ;; *) return 1 ;; esac
}
get() { # PATH QUERY JQ
	api GET "$1?$2" | jq -r "$3"
}

begin() {
	serve_start "$D" || return 1
	SUB=/subscriptions/$(jq -r .subscriptionId "$D/admin.json")
	R=$SUB/resourceGroups/g
	C=$R/providers/Microsoft.Compute
	put "$R" api-version=2021-04-01 '{"location":"eastus"}'
}

# Two disks with something in them, as fixed VHDs.
make_vhds() {
	for d in os data; do
		truncate -s 16M "$T/$d.raw" &&
			head -c 3000000 /dev/urandom | dd of="$T/$d.raw" bs=1M seek=4 conv=notrunc status=none &&
			qemu-img convert -f raw -O vpc -o subformat=fixed,force_size "$T/$d.raw" "$T/$d.vhd" || return 1
	done
	same $((16 * MIB + 512)) "$(stat -c %s "$T/os.vhd")"
}

page() { # URL FILE OFFSET BYTES
	dd if="$2" bs=512 skip=$(($3 / 512)) count=$(($4 / 512)) status=none |
		tls -X PUT -H 'x-ms-page-write: update' -H 'x-ms-version: 2023-11-03' -H 'Content-Type: application/octet-stream' \
			-H "x-ms-range: bytes=$3-$(($3 + $4 - 1))" --data-binary @- -o "$T/page" -w '%{http_code}' "$1&comp=page"
}
upload() { # URL FILE FROM: what holds nothing is left out, as azcopy does
	local at size=$((16 * MIB + 512)) n
	for ((at = $3; at < size; at += 4 * MIB)); do
		n=$((size - at < 4 * MIB ? size - at : 4 * MIB))
		cmp -s -n "$n" -i "$at:0" "$2" /dev/zero && continue
		same 201 "$(page "$1" "$2" "$at" "$n")" || { cat "$T/page"; return 1; }
	done
}
new_upload() { # NAME
	put "$C/disks/$1" "$DV" "{\"location\":\"eastus\",\"properties\":{\"osType\":\"Linux\",\"hyperVGeneration\":\"V2\",
	  \"creationData\":{\"createOption\":\"Upload\",\"uploadSizeBytes\":$((16 * MIB + 512))}}}" &&
		SAS=$(post "$C/disks/$1/beginGetAccess" "$DV" '{"access":"Write","durationInSeconds":3600}' | jq -r .accessSAS) &&
		case $SAS in "$URL"/blob/*) ;; *) false ;; esac
}

upload_os() {
	new_upload os && upload "$SAS" "$T/os.vhd" 0 && post "$C/disks/os/endGetAccess" "$DV" '' &&
		same 403 "$(tls -o "$T/body" -w '%{http_code}' "$SAS")" && grep -q '<Code>AuthenticationFailed</Code>' "$T/body" &&
		same "Unattached $((16 * MIB))" "$(get "$C/disks/os" "$DV" '"\(.properties.diskState) \(.properties.diskSizeBytes)"')"
}
# The server dies in the middle; what was acknowledged is there, and the URL goes on.
upload_data() {
	new_upload data && same 201 "$(page "$SAS" "$T/data.vhd" $((4 * MIB)) $((4 * MIB)))" || return 1
	serve_stop KILL
	local old=$URL
	serve_start "$D" || return 1
	upload "${SAS/$old/$URL}" "$T/data.vhd" $((8 * MIB)) && post "$C/disks/data/endGetAccess" "$DV" '' &&
		same Unattached "$(get "$C/disks/data" "$DV" .properties.diskState)"
}
no_vhd() {
	new_upload bad && same 201 "$(page "$SAS" "$T/os.raw" $((4 * MIB)) $MIB)" &&
		status 1 post "$C/disks/bad/endGetAccess" "$DV" '' && same InvalidVhd "$(jq -r .error.code "$T/post")" &&
		same ReadyToUpload "$(get "$C/disks/bad" "$DV" .properties.diskState)" && api DELETE "$C/disks/bad?$DV" &&
		same ResourceNotFound "$(settled "$C/disks/bad?$DV")"
}

version_of_both() {
	local gal=$C/galleries/gal def=$C/galleries/gal/images/def
	put "$C/snapshots/data" "$DV" "{\"location\":\"eastus\",\"properties\":{\"incremental\":true,\"creationData\":
	  {\"createOption\":\"Copy\",\"sourceResourceId\":\"$C/disks/data\"}}}" &&
		put "$gal" "$GV" '{"location":"eastus","properties":{"softDeletePolicy":{"isSoftDeleteEnabled":true},
		  "sharingProfile":{"permissions":"Groups"}}}' &&
		put "$def" "$GV" '{"location":"eastus","properties":{"osType":"Linux","osState":"Specialized",
		  "hyperVGeneration":"V2","identifier":{"publisher":"p","offer":"o","sku":"s"}}}' &&
		put "$def/versions/1.0.0" "$GV" "{\"location\":\"eastus\",\"properties\":{\"publishingProfile\":{\"targetRegions\":
		  [{\"name\":\"eastus\"},{\"name\":\"West Europe\"}]},\"storageProfile\":{
		  \"osDiskImage\":{\"source\":{\"id\":\"$C/disks/os\"}},
		  \"dataDiskImages\":[{\"lun\":2,\"source\":{\"id\":\"$C/snapshots/data\"}}]}}}" &&
		same "Completed 2 2" "$(get "$def/versions/1.0.0" "$GV&\$expand=ReplicationStatus" '.properties |
		  "\(.replicationStatus.aggregatedState) \(.replicationStatus.summary | length) \(.storageProfile.dataDiskImages[0].lun)"')"
}

# The data disk of the replica in the other region, as a VHD that QEMU takes.
download() {
	put "$C/disks/back" "$DV" "{\"location\":\"westeurope\",\"properties\":{\"creationData\":{\"createOption\":\"FromImage\",
	  \"galleryImageReference\":{\"id\":\"$C/galleries/gal/images/def/versions/1.0.0\",\"lun\":2}}}}" &&
		SAS=$(post "$C/disks/back/beginGetAccess" "$DV" '{"access":"Read","durationInSeconds":3600}' | jq -r .accessSAS) &&
		tls -o "$T/back.vhd" "$SAS" && cmp -n $((16 * MIB)) "$T/back.vhd" "$T/data.raw" &&
		same $((16 * MIB)) "$(qemu-img info -f vpc --output=json "$T/back.vhd" | jq '."virtual-size"')" &&
		qemu-img compare -f vpc -F raw "$T/back.vhd" "$T/data.raw" &&
		same 206 "$(tls -r 5000000-5000511 -o "$T/part" -w '%{http_code}' "$SAS")" &&
		cmp -n 512 -i 0:5000000 "$T/part" "$T/data.raw" &&
		tls "$SAS&comp=pagelist" | grep -q '<PageRange><Start>' &&
		same 409 "$(api DELETE "$C/disks/back?$DV" -o /dev/null -w '%{http_code}')" &&
		post "$C/disks/back/endGetAccess" "$DV" '' && same "" "$(ls "$D/uploads")"
}

secrets_stay_out() {
	status 1 grep -rq 'sig=' "$D/log" "$T/serve.err"
}

shared() {
	local name
	post "$C/galleries/gal/share" "$GV" "{\"operationType\":\"Add\",\"groups\":[{\"type\":\"Subscriptions\",
	  \"ids\":[\"${SUB#/subscriptions/}\"]}]}" | jq -e '.operationType == "Add"' &&
		name=$(get "$SUB/providers/Microsoft.Compute/locations/westeurope/sharedGalleries" "$GV" '.value[].name') &&
		put "$C/disks/shared" "$DV" "{\"location\":\"westeurope\",\"properties\":{\"creationData\":{\"createOption\":
		  \"FromImage\",\"galleryImageReference\":{\"sharedGalleryImageId\":\"/SharedGalleries/$name/Images/def\"}}}}" &&
		same $((16 * MIB)) "$(get "$C/disks/shared" "$DV" .properties.diskSizeBytes)"
}

deleted_and_back() {
	local v=$C/galleries/gal/images/def/versions/1.0.0
	api DELETE "$v?$GV" && same ResourceNotFound "$(settled "$v?$GV")" &&
		same 1.0.0 "$(get "$C/galleries/gal/softDeletedArtifactTypes/Images/artifacts/def/versions" "$GV" '.value[].name')" &&
		put "$v" "$GV" '{"location":"eastus","properties":{"restore":true}}' &&
		same 2 "$(get "$v" "$GV" '.properties.publishingProfile.targetRegions | length')"
}

everything_goes() {
	api DELETE "$R?api-version=2021-04-01" && same ResourceGroupNotFound "$(settled "$R?api-version=2021-04-01")" &&
		same 0 "$(find "$D/uploads" -type f | wc -l)" && serve_stop
}

check "a server" begin
check "VHDs by QEMU" make_vhds
check "a VHD goes up and becomes a disk" upload_os
check "an upload survives kill -9" upload_data
check "what is no VHD says so" no_vhd
check "a version of a disk and a snapshot, in two regions" version_of_both
check "its data disk comes down as a VHD" download
check "no signature is logged" secrets_stay_out
check "a shared gallery is a source" shared
check "a deleted version comes back" deleted_and_back
check "the group goes with all in it" everything_goes
kill "$SERVE" 2>/dev/null
wait "$SERVE" 2>/dev/null
check "nothing is left" nothing_left
