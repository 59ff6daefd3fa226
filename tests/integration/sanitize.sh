#!/bin/bash
# The unit tests and the corpus replay built by clang with ASan and UBSan, and a gcc build with
# warnings as errors.
set -euo pipefail
cd "$SRC"
[ -f build-asan/build.ninja ] || CC=clang-14 meson setup build-asan -Db_sanitize=address,undefined \
	-Db_lundef=false -Dwerror=true >/dev/null
if ninja -C build-asan >"$WORK/asan-build.log" 2>&1; then
	echo "ok clang builds without warnings"
else
	grep -E 'error|warning' "$WORK/asan-build.log" | head -n 40
	echo "not ok clang builds without warnings"
	exit 0
fi
# nbdkit is not instrumented and cannot load a plugin that is: it gets the ordinary build's.
cp "$(dirname "${KILN_EXE:-$SRC/build/kiln}")/nbd/kiln-nbdkit-plugin.so" build-asan/nbd/
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
if meson test -C build-asan --no-rebuild --num-processes "$(nproc)" --timeout-multiplier 4 --print-errorlogs \
	>"$WORK/asan.log" 2>&1; then
	echo "ok unit tests under ASan and UBSan"
else
	tail -n 100 "$WORK/asan.log"
	echo "not ok unit tests under ASan and UBSan"
fi
[ -f build-werror/build.ninja ] || CC=gcc meson setup build-werror -Dwerror=true \
	-Dbuildtype=release -Dc_args=-D_FORTIFY_SOURCE=3 >/dev/null
if ninja -C build-werror >"$WORK/werror.log" 2>&1; then
	echo "ok gcc release build without warnings"
else
	grep -E 'error|warning' "$WORK/werror.log" | head -n 40
	echo "not ok gcc release build without warnings"
fi
# Threads: the libraries that have any, their unit tests under TSan. test_faults forks with threads
# about, and the schedules' coroutines are not threads: TSan understands neither.
[ -f build-tsan/build.ninja ] || CC=clang-14 meson setup build-tsan -Db_sanitize=thread \
	-Db_lundef=false >/dev/null
mapfile -t threaded < <(ninja -C build-tsan -t targets all |
	sed -nE 's,^(tests/unit/(store|meta|arm)/[^/:]*-test_[a-z_]+): .*LINKER,\1,p' | grep -v -- -test_faults)
if ninja -C build-tsan "${threaded[@]}" >"$WORK/tsan-build.log" 2>&1; then
	cp "$(dirname "${KILN_EXE:-$SRC/build/kiln}")/nbd/kiln-nbdkit-plugin.so" "$WORK/tsan-plugin.so"
	for t in "${threaded[@]}"; do
		# A test that found nothing wrong but a race ends with 66.
		if STORE_VECTORS="$SRC/docs/store-vectors.json" KILN_NBD_PLUGIN="$WORK/tsan-plugin.so" TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
			timeout 300 "build-tsan/$t" >"$WORK/tsan.log" 2>&1; then
			echo "ok TSan $(basename "$t")"
		elif grep -q 'ThreadSanitizer' "$WORK/tsan.log"; then
			tail -n 80 "$WORK/tsan.log"
			echo "not ok TSan $(basename "$t")"
		else
			tail -n 40 "$WORK/tsan.log"
			echo "not ok TSan $(basename "$t"): it fails without a race"
		fi
	done
else
	grep -E 'error|FAILED' "$WORK/tsan-build.log" | head -n 40
	echo "not ok TSan builds"
fi
