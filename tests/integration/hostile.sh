#!/bin/bash
# Hostile clients against kiln serve: the ordinary build, then one under ASan and UBSan.
. "$SRC/tests/integration/lib.sh"
. "$SRC/tests/integration/serve_lib.sh"
ulimit -n "$(ulimit -Hn)"

attack() { # NAME PART DIR SETTING...: the attacks, their lines named after the build
	local t name=$1 part=$2 dir=$3
	shift 3
	mkdir -p "$dir"
	printf 'server:\n' >"$dir/kiln.yaml"
	printf '  %s\n' "$@" >>"$dir/kiln.yaml"
	serve_start "$dir" --no-worker || { echo "not ok $name: start"; return; }
	t=$(token "$dir")
	[ "$t" != null ] || echo "not ok $name: token"
	node "$SRC/tests/integration/hostile.mjs" "$part" "$URL" "$CA" "$API" "$SERVE" \
		"/subscriptions/$(jq -r .subscriptionId "$dir/admin.json")" "$t" | sed -E "s/^(ok|not ok) /\1 $name: /"
	check "$name: ends well" serve_stop
}
both() { # NAME
	attack "$1" slow "$T/$1" "headSeconds: 2" "idleSeconds: 4" "bodySeconds: 2"
	attack "$1" rest "$T/$1" "idleSeconds: 600" "bodyMegabytes: 64"
}

clean() {
	! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error' -A 30 "$T/serve.err"
}

both ordinary
if [ -x "$SRC/build-asan/kiln" ]; then
	KILN=$SRC/build-asan/kiln
	export ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1
	both sanitized
	check "sanitized: nothing to report" clean
else
	echo "skip sanitized: build-asan/kiln is not there (the suite sanitize makes it)"
fi
