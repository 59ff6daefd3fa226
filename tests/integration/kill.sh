#!/bin/bash
# kill -9 of `kiln bake` at random moments, then `kiln bake` again: the result is right and nothing
# is left. The seed is printed; KILLS and SEED choose another run.
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
definition killed
RANDOM=${SEED:-4711}
echo "seed ${SEED:-4711}"

steps='[{"type":"Shell","name":"one","inline":["for i in 1 2 3 4 5; do head -c 1000000 /dev/urandom > /var/lib/blob$i; sync; done","echo one > /etc/one"]},
 {"type":"Shell","name":"two","inline":["sleep 0.2","echo two > /etc/two"]},
 {"type":"Shell","name":"three","inline":["cp -a /usr/share/doc /usr/share/doc2","echo three > /etc/three"]}]'
for i in $(seq 1 "${KILLS:-20}"); do
	# Another first step each time, so that nothing comes from the cache.
	DEF=killed template "kill$i" "1.0.$i" "$(jq -c --arg i "$i" '.[0].inline += ["echo \($i) > /etc/round"]' <<<"$steps")"
	"$KILN" bake "$T/kill$i.json" -g golden --json >"$T/killed.jsonl" 2>&1 &
	pid=$!
	ms=$((RANDOM % 6000))
	timeout "$((ms / 1000)).$(printf %03d $((ms % 1000)))" tail --pid=$pid -f /dev/null
	kill -KILL $pid 2>/dev/null
	wait $pid 2>/dev/null
	if ! "$KILN" bake "$T/kill$i.json" -g golden >"$T/again.out" 2>&1; then
		tail -n 30 "$T/again.out"
		echo "not ok kill $i at $ms ms: baking again works"
		continue
	fi
	echo "ok kill $i at $ms ms: baking again works"
	check "kill $i: nothing is left" nothing_left
	check "kill $i: the version is whole" same Succeeded "$("$KILN" rest GET "$GAL/images/killed/versions/1.0.$i" \
		--api-version 2023-07-03 | jq -r .properties.provisioningState)"
done
check "the disk holds what the steps wrote" bash -c "'$KILN' shell kill${KILLS:-20}@three -g golden -- sh -c 'cat /etc/one /etc/two /etc/three' | tr '\n' ' ' | grep -qx 'one two three '"
check "every chunk of every region is sound" "$KILN" store check --read-data
