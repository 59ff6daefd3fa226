#!/bin/bash
# The collector's protocol as a model, searched exhaustively by Spin; and with each of its rules left
# out, which must be found. EXHAUST=long searches more writers and hosts.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"

search() { # NAME DEFINE...: prints the searcher's verdict
	local dir=$T/$1
	shift
	mkdir -p "$dir"
	(cd "$dir" && spin -a "$@" "$SRC/tests/model/gc.pml" >spin.out &&
		gcc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=14000 -o pan pan.c && ./pan -m100000 >pan.out)
	grep -hE 'assertion violated|errors:|states, stored|out of memory|truncated' "$dir"/pan.out
}
holds() { # complete, and nothing found
	local out
	out=$(search "$@") || return 1
	echo "$out"
	grep -q 'errors: 0' <<<"$out" && ! grep -qE 'out of memory|truncated' <<<"$out"
}
broken() { # found
	local out
	out=$(search "$@") || return 1
	echo "$out"
	grep -q 'assertion violated' <<<"$out"
}

check protocol-holds holds base -DWRITERS=1 -DCYCLES=1 -DDELETES=2
for rule in PIN TOKEN HOLD STAMP RECHECK; do
	check "without-$rule" broken "$rule" "-DNO_$rule" -DWRITERS=1 -DCYCLES=2 -DDELETES=2
done
check without-CLAIM broken CLAIM -DNO_CLAIM -DWRITERS=1 -DCOLLECTORS=2 -DCYCLES=1 -DDELETES=0
[ "${EXHAUST:-}" = long ] || exit 0
long_part gc_model two-hosts holds hosts -DWRITERS=1 -DCOLLECTORS=2 -DCYCLES=1 -DDELETES=1
long_part gc_model two-cycles holds cycles -DWRITERS=1 -DCYCLES=2 -DDELETES=1
long_part gc_model two-writers holds writers -DWRITERS=2 -DCYCLES=1 -DDELETES=1
