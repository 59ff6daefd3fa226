#!/bin/bash
# The image store by its plumbing commands: a real file system's image in and out, overlays, two
# stores, NBD clients, damage, kills, and a second reader that knows only the specification.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
set -e
S=$T/store
store() { # COMMAND ARGS...
	local cmd=$1
	shift
	"$KILN" store "$cmd" --store "$S" "$@"
}
root_of() { # NAME
	store list --json | jq -r --arg n "$1" '.[] | select(.name == $n) | "\(.disk.root) \(.disk.sizeBytes)"'
}
digest_of() { # NAME [STORE]
	"$KILN" store list --store "${2:-$S}" --json | jq -r --arg n "$1" '.[] | select(.name == $n) | .disk.digest'
}

# A file system with real files, and an overlay on it.
mkdir -p "$T/files/doc" "$T/files/bin"
cp -a /usr/share/doc/[a-d]* "$T/files/doc"
cp -a /usr/bin/[a-b]* "$T/files/bin"
truncate -s 1G "$T/base.raw"
mke2fs -q -F -t ext4 -d "$T/files" "$T/base.raw"
rm -rf "$T/files"
qemu-img create -q -f qcow2 -o cluster_size=64k -b "$T/base.raw" -F raw "$T/ov.qcow2"
qemu-io -c 'write -P 0x11 1M 3M' -c 'write -P 0x22 100000 512' -c 'write -z 20M 64M' \
	-c 'write -P 7 1073741312 512' "$T/ov.qcow2" >/dev/null
qemu-img convert -O raw "$T/ov.qcow2" "$T/v2.raw"

check import store import "$T/base.raw" base
exported() { # NAME WANT
	rm -f "$T/out.raw"
	store export "$1" "$T/out.raw" && cmp "$2" "$T/out.raw"
}
check export-equals-source exported base "$T/base.raw"
sparse() {
	local have want
	have=$(du -k "$T/out.raw" | cut -f1) want=$(du -k "$T/base.raw" | cut -f1)
	[ "$have" -le $((want + 1024)) ] || { echo "$have KiB, the source has $want"; return 1; }
}
check export-is-sparse sparse
pipe_export() {
	store export base - | cmp - "$T/base.raw"
}
check export-to-a-pipe pipe_export
pipe_import() {
	store import - piped <"$T/base.raw" >/dev/null && same "$(digest_of base)" "$(digest_of piped)" &&
		dd if="$T/base.raw" bs=1M status=none | store import - piped >/dev/null && same "$(digest_of base)" "$(digest_of piped)"
}
check import-from-a-pipe pipe_import

check commit store commit --parent base "$T/ov.qcow2" v2
check commit-equals-the-overlay exported v2 "$T/v2.raw"
full_import() {
	store import "$T/v2.raw" v2full >/dev/null && same "$(digest_of v2)" "$(digest_of v2full)"
}
check commit-equals-a-full-import full_import
diff_ranges() {
	same 0 "$(store diff v2 v2full | wc -l)" && [ "$(store diff base v2 | wc -l)" -ge 3 ]
}
check diff diff_ranges

# A hostile overlay: names in its header must not be followed.
evil_backing() {
	cp "$T/ov.qcow2" "$T/evil.qcow2"
	qemu-img rebase -u -b /etc/shadow -F raw "$T/evil.qcow2"
	store commit --parent base "$T/evil.qcow2" evil >/dev/null && same "$(digest_of v2)" "$(digest_of evil)"
}
check overlay-backing-name-is-ignored evil_backing
external_data() {
	qemu-img create -q -f qcow2 -o data_file="$T/data.bin" "$T/ext.qcow2" 1G
	status 3 store commit --parent base "$T/ext.qcow2" ext
}
check overlay-with-external-data-is-refused external_data

second_reader() { # NAME WANT
	local root
	read -r -a root <<<"$(root_of "$1")"
	node "$SRC/tests/integration/store_reader.mjs" "$S/regions/local" "${root[0]}" "${root[1]}" "$T/second.raw" >"$T/second.digest" &&
		cmp "$T/second.raw" "$2" && same "$(digest_of "$1")" "sha256:$(cat "$T/second.digest")"
}
check second-reader-base second_reader base "$T/base.raw"
check second-reader-commit second_reader v2 "$T/v2.raw"
check second-reader-proves-all node "$SRC/tests/integration/store_reader.mjs" "$S/regions/local"

replicated() {
	"$KILN" store replicate --store "$S" base --to "$T/two" >/dev/null || return 1
	local sent
	sent=$("$KILN" store replicate --store "$S" v2 --to "$T/two" --json | jq .stats.storedBytes)
	[ "$sent" -lt 1000000 ] || { echo "$sent bytes sent for a small change"; return 1; }
	"$KILN" store export --store "$T/two" v2 "$T/out2.raw" && cmp "$T/out2.raw" "$T/v2.raw" &&
		same 0 "$("$KILN" store replicate --store "$S" v2 --to "$T/two" --json | jq .stats.storedBytes)"
}
check replicate-sends-what-differs replicated

served() {
	local pid
	"$KILN" store serve --store "$S" v2 --unix "$T/s" >"$T/serve.out" &
	pid=$!
	for _ in $(seq 300); do
		[ -s "$T/serve.out" ] && break
		kill -0 $pid || return 1
		sleep 0.1
	done
	if ! { qemu-img compare -f raw -F raw "$T/v2.raw" "nbd+unix:///?socket=$T/s" &&
		nbdcopy "nbd+unix:///?socket=$T/s" "$T/nbd.raw" && cmp "$T/nbd.raw" "$T/v2.raw" &&
		nbdinfo --map "nbd+unix:///?socket=$T/s" | grep -q hole; }; then
		kill $pid
		return 1
	fi
	# Eight clients at once.
	local pids=()
	for i in 1 2 3 4 5 6 7 8; do
		nbdcopy "nbd+unix:///?socket=$T/s" null: &
		pids+=($!)
	done
	for p in "${pids[@]}"; do wait "$p" || return 1; done
	kill -INT $pid
	wait $pid || true
	[ ! -e "$T/s" ] && ! pgrep -f "nbdkit .*$T/s" >/dev/null
}
check serve served

whole() {
	"$KILN" store check --store "${1:-$S}" --read-data
}
check check-whole whole
flip() { # one byte in the middle of the biggest pack
	local f size
	f=$(find "$S/regions/local/packs" -name '*.pack' -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
	size=$(stat -c %s "$f")
	printf '\xa5\x5a\xa5' | dd of="$f" bs=1 seek=$((size / 2)) conv=notrunc status=none
}
damage_detected() {
	flip
	status 1 store check --read-data && status 1 store export base "$T/bad.raw"
}
check damage-is-detected-and-not-served damage_detected
check second-reader-finds-the-damage status 1 node "$SRC/tests/integration/store_reader.mjs" "$S/regions/local"
healed() {
	"$KILN" store check --store "$S" --read-data --heal --from "$T/two" && whole &&
		exported base "$T/base.raw" && exported v2 "$T/v2.raw" && [ -n "$(ls "$S/regions/local/quarantine")" ]
}
check damage-is-healed-from-another-store healed
lost_index() {
	rm -rf "$S/lookup"
	exported v2 "$T/v2.raw" && store rebuild-index && whole
}
check lost-index lost_index

killed() {
	local i pid
	for i in 1 2 3 4 5 6; do
		"$KILN" store import --store "$T/killed" "$T/base.raw" base >/dev/null &
		pid=$!
		sleep "0.$i"
		kill -KILL $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
		whole "$T/killed" || return 1
	done
	"$KILN" store import --store "$T/killed" "$T/base.raw" base &&
		"$KILN" store export --store "$T/killed" base "$T/k.raw" && cmp "$T/k.raw" "$T/base.raw" &&
		"$KILN" store gc --store "$T/killed" && "$KILN" store gc --store "$T/killed" &&
		[ -z "$(ls -A "$T/killed/regions/local/tmp")" ] && [ -z "$(find "$T/killed/journal" -name '*.json')" ] &&
		rm -f "$T/k.raw" && "$KILN" store export --store "$T/killed" base "$T/k.raw" && cmp "$T/k.raw" "$T/base.raw"
}
check killed-imports-leave-a-working-store killed
at_once() { # two writers, one collector and a reader on one store
	local p q g r
	"$KILN" store import --store "$T/both" "$T/base.raw" a >/dev/null & p=$!
	"$KILN" store import --store "$T/both" "$T/v2.raw" b >/dev/null & q=$!
	wait $p && wait $q || return 1
	"$KILN" store remove --store "$T/both" a
	"$KILN" store gc --store "$T/both" & g=$!
	"$KILN" store import --store "$T/both" "$T/base.raw" c >/dev/null & p=$!
	"$KILN" store export --store "$T/both" b "$T/b.raw" & r=$!
	wait $g && wait $p && wait $r && cmp "$T/b.raw" "$T/v2.raw" &&
		"$KILN" store gc --store "$T/both" && "$KILN" store gc --store "$T/both" && whole "$T/both" &&
		rm -f "$T/b.raw" && "$KILN" store export --store "$T/both" c "$T/b.raw" && cmp "$T/b.raw" "$T/base.raw"
}
check writers-readers-and-gc-at-once at_once
collected() {
	local before after n
	before=$(store stats --json | jq '.[0].storedBytes')
	for n in base piped v2full evil; do store remove $n; done
	store gc && store gc
	after=$(store stats --json | jq '.[0].storedBytes')
	[ "$after" -le "$before" ] && exported v2 "$T/v2.raw" && store remove v2 && store gc && store gc &&
		same 0 "$(store stats --json | jq '.[0].storedBytes')"
}
check space-comes-back collected
refused() {
	status 2 store import "$T/base.raw" && status 1 store export nope "$T/x.raw" && [ ! -e "$T/x.raw" ] &&
		status 1 store import "$T/none.raw" x
}
check bad-calls refused
# A gallery whose database is lost: its regions have everything that counts.
rebuilt_catalog() {
	local what='[.value[] | {name, state: .properties.provisioningState, kiln: .properties.kiln}]'
	local list=("$KILN" rest GET "$GAL/images/debian-12/versions" --api-version 2023-07-03)
	setup_gallery && "${list[@]}" | jq -S "$what" >"$T/before" && cp -a "$KILN_DATA" "$T/lost" || return 1
	local KILN_DATA=$T/lost status=0
	export KILN_DATA
	rm -f "$T/lost/meta.db"*
	"${list[@]}" >/dev/null 2>&1 && { echo "the database is not lost"; return 1; }
	"$KILN" store rebuild-catalog --from-region eastus && "${list[@]}" | jq -S "$what" >"$T/after" &&
		cmp "$T/before" "$T/after" && "$KILN" store check && "$KILN" store gc && "$KILN" store gc &&
		"$KILN" store gc && "$KILN" store check || status=1
	rm -rf "$T/lost" "/run/kiln/$(printf %s "$T/lost" | sha256sum | cut -c1-8)"
	return $status
}
check lost-database rebuilt_catalog
