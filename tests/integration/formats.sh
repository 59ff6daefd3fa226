#!/bin/bash
# Disk formats: out and in again with equal digests, each format's own tools, odd and huge disks,
# kills, and hostile images, each refused with its reason by a process that opens nothing.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
set -e
S=$T/store
FORMATS="raw raw.zst raw.gz qcow2 qcow2-zlib vhd vhd-dynamic vhdx vmdk ova"
store() { # COMMAND ARGS...
	local cmd=$1
	shift
	"$KILN" store "$cmd" --store "$S" "$@"
}
digest_of() { # NAME
	store list --json | jq -r --arg n "$1" '.[] | select(.name == $n) | .disk.digest'
}

# A file system with real files, a disk of an odd size, one sector, nothing but zeros, 15 TiB.
truncate -s 200M "$T/fs.raw"
mkdir "$T/files"
cp -a /usr/bin/[a-b]* "$T/files"
mke2fs -q -F -t ext4 -d "$T/files" "$T/fs.raw"
rm -rf "$T/files"
truncate -s 70000128 "$T/odd.raw"
head -c 300000 /dev/urandom | dd of="$T/odd.raw" bs=1000 seek=66000 conv=notrunc status=none
printf 'x' >"$T/tiny.raw"
truncate -s 512 "$T/tiny.raw"
truncate -s 100M "$T/zero.raw"
truncate -s 15T "$T/huge.raw"
head -c 640k /dev/urandom | dd of="$T/huge.raw" bs=64k seek=1000 conv=notrunc status=none
printf hello | dd of="$T/huge.raw" bs=1 seek=10000000000000 conv=notrunc status=none
for n in fs odd tiny zero huge; do
	store import "$T/$n.raw" $n >/dev/null
done

# The file that QEMU reads, and its driver: unpacked where it does not know the packing.
plain_of() { # FILE FORMAT
	rm -rf "$T/plain" && mkdir "$T/plain"
	case $2 in
	raw.zst) zstd -qd "$1" -o "$T/plain/raw" && echo "$T/plain/raw raw" ;;
	raw.gz) gzip -dc "$1" >"$T/plain/raw" && echo "$T/plain/raw raw" ;;
	ova) tar -C "$T/plain" -xf "$1" && echo "$(ls "$T"/plain/*.vmdk) vmdk" ;;
	vhd*) case $2 in vhdx) echo "$1 vhdx" ;; *) echo "$1 vpc" ;; esac ;;
	qcow2*) echo "$1 qcow2" ;;
	*) echo "$1 $2" ;;
	esac
}
as_qemu_reads() { # NAME FORMAT
	local file driver
	store export "$1" "$T/out" --format "$2" || return 1
	read -r file driver <<<"$(plain_of "$T/out" "$2")"
	case $driver in qcow2 | vhdx | vmdk) qemu-img check -q "$file" || return 1 ;; esac
	qemu-img compare -f raw -F "$driver" "$T/$1.raw" "$file"
}
piped() { # NAME FORMAT
	store export "$1" - --format "$2" | cmp - "$T/out"
}
inspected() { # NAME FORMAT
	local unit
	unit=$("$KILN" inspect "$T/out" --json | jq .diskBytes) || return 1
	[ "$unit" -ge "$(stat -c %s "$T/$1.raw")" ] && [ $((unit - $(stat -c %s "$T/$1.raw"))) -lt $((1 << 20)) ]
}
for n in fs odd tiny zero; do
	for f in $FORMATS; do
		check "$n-as-$f" as_qemu_reads $n "$f"
		check "$n-as-$f-piped" piped $n "$f"
		check "$n-as-$f-inspected" inspected $n "$f"
	done
done
for f in raw qcow2 vhdx vmdk; do
	huge_as() {
		store export huge "$T/huge.$f" --format "$f" && [ "$(du -k "$T/huge.$f" | cut -f1)" -lt 40000 ] &&
			same 16492674416640 "$(qemu-img info -f "$f" --output json "$T/huge.$f" | jq '."virtual-size"')" &&
			same 16492674416640 "$("$KILN" inspect "$T/huge.$f" --json | jq .diskBytes)"
	}
	check "huge-as-$f" huge_as
done
for f in vhd vhd-dynamic; do
	check "huge-as-$f-is-refused" status 3 store export huge "$T/no" --format $f
done
refused_leaves_nothing() {
	[ ! -e "$T/no" ] && ! compgen -G "$T/.kiln-tmp-*" >/dev/null
}
check refused-leaves-nothing refused_leaves_nothing
check unknown-format status 3 store export fs "$T/no" --format vdi

# ---- Others' tools ----
ovf() {
	store export fs "$T/fs.ova" --format ova && rm -rf "$T/ovf" && mkdir "$T/ovf" && tar -C "$T/ovf" -xf "$T/fs.ova" || return 1
	same "fs.ovf fs.mf fs-disk1.vmdk" "$(tar -tf "$T/fs.ova" | paste -sd' ')" && xmllint --noout "$T/ovf/fs.ovf" || return 1
	local x="xmllint --xpath" e='*[local-name()'
	same 209715200 "$($x "string(//$e='Disk']/@*[local-name()='capacity'])" "$T/ovf/fs.ovf")" &&
		same "$(stat -c %s "$T/ovf/fs-disk1.vmdk")" "$($x "string(//$e='File']/@*[local-name()='size'])" "$T/ovf/fs.ovf")" &&
		same efi "$($x "string(//$e='Config'][@*[local-name()='key']='firmware']/@*[local-name()='value'])" "$T/ovf/fs.ovf")" &&
		(cd "$T/ovf" && sed -E 's/SHA256\((.*)\)= (.*)/\2  \1/' fs.mf | sha256sum -c --quiet)
}
check ovf ovf
libvhdi() { # FORMAT TYPE
	store export fs "$T/x.vhd" --format "$1" && vhdiinfo "$T/x.vhd" >"$T/vhdi" &&
		grep -q "Disk type.*: $2" "$T/vhdi" && grep -q '209715200 bytes' "$T/vhdi"
}
check libvhdi-fixed libvhdi vhd Fixed
check libvhdi-dynamic libvhdi vhd-dynamic Dynamic
azure_rules() {
	store export odd "$T/x.vhd" --format vhd || return 1
	local n
	n=$(stat -c %s "$T/x.vhd")
	same 512 $((n % (1 << 20))) && same conectix "$(tail -c 512 "$T/x.vhd" | head -c 8)" &&
		same $((n - 512)) $((16#$(tail -c 464 "$T/x.vhd" | head -c 8 | od -An -tx1 | tr -d ' ')))
}
check azure-rules azure_rules
same_again() {
	store export fs "$T/one" --format vmdk && store export fs "$T/two" --format vmdk && cmp "$T/one" "$T/two"
}
check equal-disks-equal-files same_again

# ---- Killed: no half file, nothing left after the next command ----
killed() {
	local i pid
	for i in $(seq 10); do
		rm -f "$T/killed"
		"$KILN" store export --store "$S" fs "$T/killed" --format vmdk &
		pid=$!
		while kill -0 $pid 2>/dev/null && ! compgen -G "$T/.kiln-tmp-*" >/dev/null; do :; done
		kill -9 $pid 2>/dev/null
		wait $pid 2>/dev/null
		[ -e "$T/killed" ] || break
	done
	[ ! -e "$T/killed" ] && store list >/dev/null && refused_leaves_nothing && store export fs "$T/killed" --format vmdk &&
		qemu-img compare -f raw -F vmdk "$T/fs.raw" "$T/killed"
}
check killed killed

# ---- In: what QEMU and kiln wrote, as versions ----
check gallery setup_gallery
check definition definition imported
V=golden/imported
imported() { # FILE NUMBER
	local version=$V/1.0.$2
	"$KILN" version import "$1" $version --json >"$T/version" && same "$(digest_of fs)" "$(jq -r .properties.kiln.disk.digest "$T/version")"
}
i=0
for f in $FORMATS; do
	store export fs "$T/in" --format "$f"
	check "import-$f" imported "$T/in" $((i++))
done
qemu_makes() { # NUMBER DRIVER OPTIONS
	qemu-img convert -f raw -O "$2" "${@:3}" "$T/fs.raw" "$T/in" && imported "$T/in" "$1"
}
check import-qemu-qcow2 qemu_makes $((i++)) qcow2
check import-qemu-qcow2-v2-packed qemu_makes $((i++)) qcow2 -c -o compat=0.10
check import-qemu-qcow2-clusters qemu_makes $((i++)) qcow2 -o cluster_size=4k
check import-qemu-qcow2-zstd qemu_makes $((i++)) qcow2 -c -o compression_type=zstd
check import-qemu-vmdk qemu_makes $((i++)) vmdk
check import-qemu-vmdk-stream qemu_makes $((i++)) vmdk -o subformat=streamOptimized
check import-qemu-vhdx qemu_makes $((i++)) vhdx
check import-qemu-vhd qemu_makes $((i++)) vpc -o force_size=on
check import-qemu-vhd-fixed qemu_makes $((i++)) vpc -o subformat=fixed,force_size=on
xz_of() {
	xz -1 -c -T2 "$T/fs.raw" >"$T/in" && imported "$T/in" $1
}
check import-xz xz_of $((i++))
huge_back() {
	"$KILN" version import "$T/huge.vhdx" $V/1.1.0 --json >"$T/version" && same "$(digest_of huge)" "$(jq -r .properties.kiln.disk.digest "$T/version")"
}
check import-huge huge_back
from_stdin() {
	imported - $1 <"$T/in"
}
check import-stdin from_stdin $((i++))
exported_version() {
	"$KILN" version export $V/1.0.0 --format vhdx -o "$T/v.vhdx" --json >"$T/said" && same vhdx "$(jq -r .format "$T/said")" &&
		qemu-img compare -f raw -F vhdx "$T/fs.raw" "$T/v.vhdx"
}
check export-of-a-version exported_version
tainted() {
	"$KILN" rest GET "$GAL/images/imported/versions/1.0.0" --api-version 2023-07-03 >/dev/null &&
		status 3 "$KILN" version import "$T/store" $V/9.0.0
}
check import-of-a-directory-is-refused tainted
# A bake that also leaves a VHD: the same as an export of the version that it publishes.
distributes() {
	template vhdout 7.0.0 '[{"type":"Shell","name":"mark","inline":["echo formats >/etc/formats"]}]' || return 1
	jq --arg uri "file://$T/baked.vhd" '.properties.distribute += [{"type": "VHD", "runOutputName": "vhd", "uri": $uri}]' \
		"$T/vhdout.json" >"$T/vhd.json" && "$KILN" bake "$T/vhd.json" -g golden >/dev/null &&
		"$KILN" version export golden/debian-12/7.0.0 --format vhd -o "$T/version.vhd" && cmp "$T/version.vhd" "$T/baked.vhd" &&
		same "file://$T/baked.vhd" "$("$KILN" template outputs vhd -g golden --json | jq -r '.[].properties.artifactUri | values')"
}
check distributes-a-vhd distributes
# ---- For a place ----
W=golden/debian-12/7.0.0
for_place() { # PLACE DRIVER
	"$KILN" version export $W --for "$1" -o "$T/placed" 2>"$T/lacks" && qemu-img info -f "$2" "$T/placed" >/dev/null
}
check for-azure for_place azure vpc
check for-hyperv for_place hyperv vhdx
check for-vmware for_place vmware vmdk
check for-vmware-lacks-a-driver grep -q 'vmware: driver: ' "$T/lacks"
check for-kvm for_place kvm qcow2
not_for_stack() {
	rm -f "$T/placed"
	status 3 "$KILN" version export $W --for azurestack -o "$T/placed" --json >"$T/lacks" &&
		grep -q 'generation 1' "$T/lacks" && [ ! -e "$T/placed" ]
}
check for-azurestack-not-generation-2 not_for_stack
check nothing-left nothing_left

# ---- Hostile ----
mkdir "$T/hostile"
node "$SRC/tests/integration/formats_hostile.mjs" "$T/hostile" >"$T/count"
check hostile-images [ "$(cat "$T/count")" -ge 300 ]
# One half of the list, every image within 5 s of processor time; prints what went wrong.
half() { # REMAINDER
	local n=0 file why out got
	cd "$T/hostile" && ulimit -t 5
	while IFS=$'\t' read -r file why; do
		((n++ % 2 == $1)) || continue
		got=0
		out=$("$KILN" inspect "$file" 2>&1) || got=$?
		[ $got = 3 ] && [[ $out =~ $why ]] || echo "$file: status $got, '$why' expected: $out"
	done <list
}
export -f half
export T
hostile_half() { # REMAINDER
	/usr/bin/time -f %M -o "$T/rss.$1" strace -f -qq --seccomp-bpf -o "$T/trace.$1" \
		-e trace=open,openat,openat2,creat,socket,connect,bind,execve,execveat,fork,vfork,clone,clone3,seccomp \
		bash -c "half $1" >"$T/bad.$1" 2>&1
}
hostile_half 0 &
hostile_half 1
wait
refused() {
	cat "$T"/bad.?
	[ ! -s "$T/bad.0" ] && [ ! -s "$T/bad.1" ]
}
check hostile-refused-with-the-reason refused
# Once the filter is in force a reader makes none of the traced calls.
opens() {
	cat "$T"/trace.? | awk '$2 ~ /^seccomp\(/ { sealed[$1] = 1; n++; next } sealed[$1] && $2 !~ /^\+\+\+/ { print; bad = 1 } END { exit bad || n < 500 }'
}
check hostile-opens-nothing opens
memory() {
	cat "$T"/rss.?
	[ "$(cat "$T"/rss.? | grep -v '[^0-9]' | sort -n | tail -n 1)" -le 262144 ]
}
check hostile-memory memory
