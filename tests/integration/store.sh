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
profile() { # recorded from one client, played to the next
	local pid mode
	for mode in --record --profile; do
		rm -f "$T/serve.out"
		"$KILN" store serve --store "$S" v2 --unix "$T/s" $mode >"$T/serve.out" &
		pid=$!
		until [ -s "$T/serve.out" ]; do kill -0 $pid || return 1; sleep 0.1; done
		qemu-io -r -f raw -c 'read 0 1M' -c 'read 20M 4k' -c 'read 300M 64k' "nbd+unix:///?socket=$T/s" >"$T/io.out" || { kill $pid; return 1; }
		kill -INT $pid
		wait $pid || true
	done
	[ -n "$(find "$S/regions/local/statements" -name '*.boot.*.json')" ] &&
		same true "$(store stats --json | jq '.[0].roots[] | select(.id == "v2") | .bootProfile')"
}
check boot-profile profile

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

# Encryption at rest: a key from a file, another store's from a program, changed, and the second reader.
E=$T/enc
enc() { # COMMAND ARGS...
	local cmd=$1
	shift
	"$KILN" store "$cmd" --store "$E" "$@"
}
new_key() {
	od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'
	echo
}
new_key >"$T/key1"
new_key >"$T/key2"
chmod 600 "$T/key1" "$T/key2"
cat "$T/key1" >"$T/keys"
chmod 600 "$T/keys"
enc_exported() { # NAME WANT
	rm -f "$T/enc.raw"
	enc export "$1" "$T/enc.raw" && cmp "$2" "$T/enc.raw"
}
encrypted() {
	enc import "$T/base.raw" base --key-file "$T/keys" && enc commit --parent base "$T/ov.qcow2" v2 &&
		enc_exported base "$T/base.raw" && enc_exported v2 "$T/v2.raw" &&
		same "$(digest_of base)" "$(digest_of base "$E")" &&
		[ "$(enc stats --json | jq -r '.[0].keyId | length')" = 32 ]
}
check encrypted-store encrypted
nothing_shows() { # of a file's text, or of the digests that every other store of this disk shows
	local root word
	root=$(root_of base | cut -d' ' -f1)
	word=$(printf '%s' "${root#sha256:}" | sed 's/../\\x&/g')
	LC_ALL=C grep -rqaP -- "$word" "$S/regions/local/packs" || { echo "the plain store hides its root too"; return 1; }
	! LC_ALL=C grep -rqaP -- "$word" "$E/regions" && ! grep -rqF -- "$(cat "$T/key1")" "$E"
}
check encrypted-store-shows-nothing nothing_shows
says() { # WORD COMMAND...: it fails and its message has the word
	local word=$1 out
	shift
	out=$("$@" 2>&1) && { echo "no failure"; return 1; }
	grep -qF -- "$word" <<<"$out" || { echo "$out"; return 1; }
}
no_key() {
	local id
	id=$(enc stats --json | jq -r '.[0].keyId')
	says "$id" enc export base "$T/no.raw" --key-file "$T/key2" && [ ! -e "$T/no.raw" ] || return 1
	mv "$T/keys" "$T/keys.away"
	says "$T/keys" enc list || return 1
	mv "$T/keys.away" "$T/keys"
	mv "$E/options.json" "$T/options.json"
	says --key-file enc list || return 1
	mv "$T/options.json" "$E/options.json"
	chmod 604 "$T/keys"
	says chmod enc list || return 1
	chmod 600 "$T/keys"
	status 3 "$KILN" store list --store "$S" --key-file "$T/keys"
}
check encrypted-store-needs-its-key no_key
enc_reader() {
	local root
	read -r -a root <<<"$("$KILN" store list --store "$E" --json | jq -r '.[] | select(.name == "v2") | "\(.disk.root) \(.disk.sizeBytes)"')"
	node "$SRC/tests/integration/store_reader.mjs" --keys "$T/keys" "$E/regions/local" "${root[0]}" "${root[1]}" "$T/enc2.raw" >/dev/null &&
		cmp "$T/enc2.raw" "$T/v2.raw" && node "$SRC/tests/integration/store_reader.mjs" --keys "$T/keys" "$E/regions/local"
}
check second-reader-encrypted enc_reader
vectors() { # the packs of the specification as a region
	local v=$SRC/docs/store-vectors.json r=$T/vec i id n
	mkdir -p "$r/packs" && echo "kiln-region 1" >"$r/format" && jq -r '.keys[]' "$v" >"$r.keys" || return 1
	for i in 0 1; do
		id=$(jq -r ".packs[$i].id" "$v")
		mkdir -p "$r/packs/${id:0:2}" && node -e 'process.stdout.write(Buffer.from(process.argv[1], "hex"))' "$(jq -r ".packs[$i].hex" "$v")" >"$r/packs/${id:0:2}/$id.pack"
	done
	for i in 0 1; do
		n=$(jq ".disks[$i].size" "$v")
		same "$(jq -r ".disks[$i].digest" "$v")" "$(node "$SRC/tests/integration/store_reader.mjs" --keys "$r.keys" "$r" "$(jq -r ".disks[$i].root" "$v")" "$n" "$T/vec.raw")" &&
			same "$(jq -r ".disks[$i].fill[]" "$v" | while read -r b; do head -c 65536 /dev/zero | tr '\0' "\\$(printf %o "$b")"; done | sha256sum)" "$(sha256sum <"$T/vec.raw")" || return 1
	done
}
check encryption-test-vectors vectors
enc_replicated() { # to another domain, whose key a program gives, and back into the clear
	"$KILN" store replicate --store "$E" v2 --to "$T/enc3" --to-key-command "/bin/cat $T/key2" >/dev/null &&
		"$KILN" store replicate --store "$T/enc3" v2 --to "$T/enc4" >/dev/null &&
		"$KILN" store export --store "$T/enc4" v2 "$T/enc4.raw" && cmp "$T/enc4.raw" "$T/v2.raw"
}
check encrypted-replication enc_replicated
enc_served() {
	local pid got=0
	"$KILN" store serve --store "$E" v2 --unix "$T/es" >"$T/es.out" &
	pid=$!
	until [ -s "$T/es.out" ]; do kill -0 $pid || return 1; sleep 0.1; done
	qemu-img compare -f raw -F raw "$T/v2.raw" "nbd+unix:///?socket=$T/es" || got=1
	kill -INT $pid
	wait $pid || true
	return $got
}
check encrypted-serve enc_served
rekeyed() {
	{ cat "$T/key2"; cat "$T/key1"; } >"$T/keys"
	enc rekey && cat "$T/key2" >"$T/keys" && enc check --read-data && enc_exported v2 "$T/v2.raw" &&
		status 1 enc list --key-file "$T/key1" && rm -rf "$E/lookup" && enc rebuild-index && enc gc && enc gc &&
		enc_exported base "$T/base.raw"
}
check rekey rekeyed
enc_healed() {
	local f size
	f=$(find "$E/regions/local/packs" -name '*.pack' -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
	size=$(stat -c %s "$f")
	printf '\xa5\x5a\xa5' | dd of="$f" bs=1 seek=$((size / 2)) conv=notrunc status=none
	status 1 enc check --read-data && enc check --read-data --heal --from "$T/two" && enc check --read-data &&
		enc_exported base "$T/base.raw" && enc_exported v2 "$T/v2.raw"
}
check encrypted-damage-is-healed enc_healed
rm -rf "$T/enc3" "$T/enc4" "$E" "$T"/enc*.raw

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
stats_make_nothing() {
	status 1 "$KILN" store stats --store "$T/absent" && [ ! -e "$T/absent" ]
}
check stats-make-nothing stats_make_nothing
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
