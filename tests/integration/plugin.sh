#!/bin/bash
# The nbdkit plugin under ASan and UBSan: nbdkit itself is not instrumented, so gcc's runtime is
# preloaded; with it the exit handlers of nbdkit's libraries hang, so leaks are not looked for and nbdkit
# is killed once it has unloaded the plugin. Right reads by many clients, recorded and played, an
# encrypted store, damage, bad calls.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
B=$SRC/build-asan-nbd
SO=$B/nbd/kiln-nbdkit-plugin.so
[ -f "$B/build.ninja" ] || CC=gcc meson setup "$B" "$SRC" -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
check plugin-builds-under-sanitizers ninja -C "$B" nbd/kiln-nbdkit-plugin.so
[ -f "$SO" ] || exit 0
PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)

serve() { # STORE [KEY=VALUE...]: starts nbdkit by hand on $T/sock
	local store=$1
	shift
	LD_PRELOAD=$PRELOAD ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1 \
		UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		nbdkit -v -f -r -U "$T/sock" "$SO" run="$T/run" dir="$store" region=local="$store/regions/local" "$@" >"$T/log" 2>&1 &
	pid=$!
	until [ -S "$T/sock" ]; do kill -0 $pid 2>/dev/null || { cat "$T/log"; return 1; }; sleep 0.1; done
}
stop() {
	local i
	kill -TERM "$pid"
	for ((i = 0; i < 600; i++)); do
		if grep -q 'unload plugin' "$T/log" || ! kill -0 "$pid" 2>/dev/null; then break; fi
		sleep 0.1
	done
	[ "$i" -lt 600 ] || { echo "nbdkit does not end"; tail -n 5 "$T/log"; }
	for ((i = 0; i < 10; i++)); do # the unloading itself; then the exit handlers may hang
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	{ kill -KILL "$pid"; wait "$pid"; } 2>/dev/null
	rm -f "$T/sock"
	! grep -E 'ERROR: AddressSanitizer|runtime error' -A 30 "$T/log" && grep -q 'unload plugin' "$T/log"
}
export_of() { # STORE NAME EXTRA: RUN/exports/default
	mkdir -p "$T/run/exports"
	"$KILN" store list --store "$1" --json | jq --arg n "$2" --argjson more "$3" '{disk: (.[] | select(.name == $n) | .disk),
		regions: ["local"], name: "00112233445566778899aabbccddeeff"} + $more' >"$T/run/exports/default"
}

truncate -s 64M "$T/disk.raw"
mke2fs -q -F -t ext4 -d "$SRC/docs" "$T/disk.raw"
dd if="$KILN" of="$T/disk.raw" bs=1M seek=20 conv=notrunc status=none
"$KILN" store import --store "$T/a" "$T/disk.raw" d >/dev/null
od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$T/key"
chmod 600 "$T/key"
"$KILN" store import --store "$T/e" "$T/disk.raw" d --key-file "$T/key" >/dev/null
cp "$T/disk.raw" "$T/want.raw"

reads() { # STORE EXTRA [KEY=VALUE...]
	local store=$1 extra=$2 i pids=()
	shift 2
	export_of "$store" d "$extra" && serve "$store" "$@" || return 1
	for i in 1 2 3 4; do
		nbdcopy "nbd+unix:///?socket=$T/sock" "$T/copy$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || return 1; done
	for i in 1 2 3 4; do cmp "$T/copy$i" "$T/want.raw" && rm "$T/copy$i" || return 1; done
	nbdinfo --map "nbd+unix:///?socket=$T/sock" >/dev/null && stop
}
check plugin-reads reads "$T/a" '{}' cache=4194304
check plugin-records reads "$T/a" '{"record": true}'
check plugin-plays-nothing reads "$T/a" '{"play": true}'
check plugin-reads-encrypted reads "$T/e" '{"record": true, "play": true}' key=local=file:"$T/key"

revives() { # the daemon dies, its user starts another
	local got uri="nbd+unix:///?socket=$T/s" ok=
	rm -f "$T/out"
	"$KILN" store serve --store "$T/a" d --unix "$T/s" >"$T/out" &
	got=$!
	until [ -s "$T/out" ]; do kill -0 $got || return 1; sleep 0.1; done
	for _ in 1 2; do
		kill -KILL "$(cat "$(dirname "$(readlink "$T/s")")/nbd.pid")"
		qemu-img convert -O raw --image-opts \
			"driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=$(readlink "$T/s"),file.open-timeout=60" \
			"$T/copy" && cmp "$T/copy" "$T/want.raw" && ok+=1
	done
	nbdinfo --size "$uri" && kill -INT $got && wait $got && [ "$ok" = 11 ]
}
check plugin-is-started-again revives

plays() { # a profile that a client's reads left
	local got
	rm -f "$T/out"
	"$KILN" store serve --store "$T/a" d --record --unix "$T/s" >"$T/out" &
	got=$!
	until [ -s "$T/out" ]; do kill -0 $got || return 1; sleep 0.1; done
	nbdcopy "nbd+unix:///?socket=$T/s" null: || return 1
	kill -INT $got
	wait $got || true
	reads "$T/a" '{"play": true}' cache=2097152
}
check plugin-plays plays
damage() { # wrong bytes are an error to the client, and no more
	local f
	for f in "$T"/a/regions/local/packs/*/*.pack; do
		dd if=/dev/urandom of="$f" bs=4096 seek=2 count=40 conv=notrunc status=none
	done
	export_of "$T/a" d '{}' && serve "$T/a" || return 1
	# One request at a time: nbdkit 1.32 aborts when a client goes while others are being answered.
	nbdcopy --connections=1 --requests=1 "nbd+unix:///?socket=$T/sock" null: && { echo "read what is damaged"; return 1; }
	stop && grep -q damaged "$T/log"
}
check plugin-damage damage
bad_calls() {
	local a i
	for a in 'region=' 'region=x' 'cache=-1' 'uid=5-3' 'uid=x' 'key=nope=file:/x' 'key=local=nonsense' 'what=ever' \
		"key=local=file:$T/none"; do
		rm -f "$T/sock2"
		LD_PRELOAD=$PRELOAD ASAN_OPTIONS=detect_leaks=0 nbdkit -f -r -U "$T/sock2" "$SO" run="$T/run" dir="$T/a" \
			region=local="$T/a/regions/local" "$a" >"$T/log" 2>&1 &
		pid=$!
		for ((i = 0; i < 300; i++)); do
			if grep -q 'error:' "$T/log" || ! kill -0 "$pid" 2>/dev/null; then break; fi
			sleep 0.1
		done
		{ kill -KILL "$pid"; wait "$pid"; } 2>/dev/null
		grep -q 'error:' "$T/log" || { echo "$a was taken"; return 1; }
		grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error' -A 30 "$T/log" && return 1
	done
	return 0
}
check plugin-bad-calls bad_calls
bad_exports() { # whatever stands in an export's file
	local text
	serve "$T/a" || return 1
	for text in '' '{' '[]' '{"disk":1}' '{"disk":{},"regions":[]}' '{"regions":"x","disk":null}' "$(head -c 100000 /dev/urandom | base64 -w0)"; do
		printf %s "$text" >"$T/run/exports/default"
		nbdinfo --size "nbd+unix:///?socket=$T/sock" && return 1
	done
	stop
}
check plugin-bad-exports bad_exports
