#!/bin/bash
# Each fuzz target under libFuzzer with ASan and UBSan for a few seconds, from its corpus.
set -euo pipefail
cd "$SRC"
b=build-fuzz
[ -f $b/build.ninja ] || CC=clang-14 meson setup $b -Dfuzzing=true -Db_sanitize=address,undefined \
	-Db_lundef=false >/dev/null
mapfile -t targets < <(ninja -C $b -t targets all | sed -nE 's/^(tests\/fuzz\/fuzz-[a-z_0-9]+): c_LINKER.*/\1/p')
ninja -C $b "${targets[@]}" >/dev/null
for t in "${targets[@]}"; do
	name=${t##*/fuzz-}
	mkdir -p "$WORK/fuzz-$name"
	if $b/"$t" -max_total_time="${FUZZ_SECONDS:-6}" -timeout=5 -rss_limit_mb=512 -print_final_stats=1 \
		-artifact_prefix="$WORK/fuzz-$name/" "$WORK/fuzz-$name" "tests/fuzz/corpus/$name" \
		>"$WORK/fuzz-$name.log" 2>&1; then
		echo "ok fuzz-$name $(grep -o 'stat::number_of_executed_units:.*' "$WORK/fuzz-$name.log" | grep -o '[0-9]*$') runs"
	else
		tail -n 40 "$WORK/fuzz-$name.log"
		echo "not ok fuzz-$name"
	fi
done
