#!/bin/bash
# The same at full length: 10,000 damages (as many again of encrypted packs), 200,000 power-cut states,
# a kill at every system call with twenty seeds of timing. SHARD=i/n does one part of n.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
P=$(dirname "${KILN_EXE:-$KILN}")/tests/unit/store
shard=${SHARD:-1/1}
i=${shard%/*} n=${shard#*/}

for ((s = i; s <= 20; s += n)); do
	long_part store_crash "rot-seed-$s" "$P/store-rot" 500 "$((1000 + s))"
done
for ((s = i; s <= 50; s += n)); do
	long_part store_crash "power-cut-states-seed-$s" "$P/store-crash" 4000 "$s"
done
for ((s = i; s <= 20; s += n)); do
	long_part store_crash "rot-of-encrypted-packs-seed-$s" "$P/store-rot" 500 "$((2000 + s))" encrypted
	long_part store_crash "kill-at-every-call-$s" "$P/store-kill" 0 "$s"
done
for ((s = i; s <= 1; s += n)); do
	KILN_FAULTS_ALL=1 long_part store_crash every-fault "$P/store-test_faults"
done
