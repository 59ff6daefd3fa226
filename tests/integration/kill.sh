#!/bin/bash
# kill -9 of `kiln bake` at random moments, then `kiln bake` again: what was finished keeps its disk and
# does not run again, the file tree in the end is that of a bake that nobody disturbed, and nothing is
# left. The seed is printed; KILLS and SEED choose another run.
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
definition killed
RANDOM=${SEED:-4711}
echo "seed ${SEED:-4711}"

# What the steps write is always the same; a comment makes them new ones each round.
steps='[{"type":"Shell","name":"one","inline":["for i in 1 2 3 4 5; do seq $i 150000 > /var/lib/blob$i; sync; done","echo one > /etc/one","chmod 4711 /etc/one"]},
 {"type":"Shell","name":"two","inline":["sleep 0.2","echo two > /etc/two","chown 33:42 /etc/two","ln -s two /etc/deux"]},
 {"type":"Shell","name":"three","inline":["cp -a /usr/share/doc /usr/share/doc2","echo three > /etc/three"]}]'
round() { # NUMBER: writes $T/killNUMBER.json
	DEF=killed template "kill$1" "1.0.$1" "$(jq -c --arg i "$1 $T" '.[].inline += ["# round \($i)"]' <<<"$steps")"
}

# Every path with its type, mode, owner, link, extended attributes and the digest of its content.
tree() { # VERSION: writes $T/VERSION.tree
	local raw=$T/disk.raw point=$T/point start size loop status=0
	"$KILN" version export "golden/killed/$1" --format raw -o "$raw" >/dev/null 2>&1 || return 1
	read -r start size < <(sfdisk --json "$raw" | jq -r '.partitiontable.partitions | max_by(.size) | "\(.start) \(.size)"')
	mkdir -p "$point"
	loop=$(losetup -f --show -r -o $((start * 512)) --sizelimit $((size * 512)) "$raw") || return 1
	if mount -t ext4 -o ro,noload "$loop" "$point"; then
		(cd "$point" && find . -printf '%P %y %m %U %G %l\n' | LC_ALL=C sort &&
			find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum &&
			getfattr -R -h -d -m - -e hex . 2>/dev/null) >"$T/$1.tree" || status=1
		umount "$point"
	else
		status=1
	fi
	losetup -d "$loop"
	rm -f "$raw"
	[ $status = 0 ] && [ "$(wc -l <"$T/$1.tree")" -gt 10000 ]
}
same_tree() { # VERSION VERSION
	diff "$T/$1.tree" "$T/$2.tree" | head -n 20 >"$T/tree.diff"
	[ ! -s "$T/tree.diff" ] || { cat "$T/tree.diff"; return 1; }
}
# "NAME DISK" of the steps that a log says were finished, cached ones too.
finished() {
	jq -Rr 'fromjson? | select(.type == "step.done" and (.stage == "customize" or .stage == "generalize"))
		| "\(.name) \(.disk.digest)"' "$1" | sort
}
ran_again() { # FINISHED AGAIN: steps of the first that the second did not take from the cache, as they were
	local line
	while read -r line; do
		jq -se --arg name "${line% *}" --arg disk "${line#* }" 'any(.[]; .type == "step.done" and .cached
			and .name == $name and .disk.digest == $disk)' "$2" >/dev/null || echo "$line"
	done <"$1"
}

round 0
check "a bake that nobody disturbs" "$KILN" bake "$T/kill0.json" -g golden
check "its file tree" tree 1.0.0
kept=0
for i in $(seq 1 "${KILLS:-10}"); do
	round "$i"
	"$KILN" bake "$T/kill$i.json" -g golden --json >"$T/killed.jsonl" 2>&1 &
	pid=$!
	ms=$((RANDOM % ${SPAN_MS:-4000}))
	timeout "$((ms / 1000)).$(printf %03d $((ms % 1000)))" tail --pid=$pid -f /dev/null
	kill -KILL $pid 2>/dev/null
	wait $pid 2>/dev/null
	run=$(jq -Rr 'fromjson? | select(.type == "run.start") | .runId' "$T/killed.jsonl" | head -n 1)
	: >"$T/finished"
	[ -z "$run" ] || finished "$KILN_DATA/runs/$run/events.jsonl" >"$T/finished"
	kept=$((kept + $(wc -l <"$T/finished")))
	if ! "$KILN" bake "$T/kill$i.json" -g golden --json >"$T/again.jsonl" 2>"$T/again.out"; then
		tail -n 30 "$T/again.out"
		echo "not ok kill $i at $ms ms: baking again works"
		continue
	fi
	echo "ok kill $i at $ms ms: baking again works"
	check "kill $i: nothing is left" nothing_left
	check "kill $i: what was finished keeps its disk and did not run again" same "" "$(ran_again "$T/finished" "$T/again.jsonl")"
	check "kill $i: the version is whole" same Succeeded "$("$KILN" rest GET "$GAL/images/killed/versions/1.0.$i" \
		--api-version 2023-07-03 | jq -r .properties.provisioningState)"
	check "kill $i: the file tree can be read" tree "1.0.$i"
	check "kill $i: and is that of the undisturbed bake" same_tree 1.0.0 "1.0.$i"
	rm -f "$T/1.0.$i.tree"
done
check "some kills came after a finished step ($kept of them)" test "$kept" -gt 0
check "every chunk of every region is sound" "$KILN" store check --read-data
check "nothing is left" nothing_left
