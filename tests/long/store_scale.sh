#!/bin/bash
# A lookup of 100,000,000 frames: about 12 GB of disk under /var/tmp, and an hour or so.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
P=$(dirname "${KILN_EXE:-$KILN}")/tests/unit/store
[ "${SHARD:-1/1}" = 1/1 ] || [ "${SHARD%/*}" = 1 ] || exit 0
full() { # its last line is the figures
	KILN_SCALE_FRAMES=100000000 KILN_SCALE_DIR=/var/tmp "$P/store-test_scale" >"$T/scale.out" 2>&1 || {
		cat "$T/scale.out"
		return 1
	}
	grep ' frames: ' "$T/scale.out"
}
long_part store_scale hundred-million-frames full
