#!/bin/bash
# Many bakes at once: all end well, budgets are kept, subscriptions take turns, one template has one
# run at a time, nothing leaks. BAKES chooses how many (tests/long/queue.sh: a hundred).
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
n=${BAKES:-10}
config=$KILN_DATA/kiln.yaml
cp "$config" "$T/kiln.yaml" 2>/dev/null || : >"$T/kiln.yaml"
end() {
	[ -z "${server:-}" ] || kill "$server" 2>/dev/null
	if [ -s "$T/kiln.yaml" ]; then cp "$T/kiln.yaml" "$config"; else rm -f "$config"; fi
}
trap end EXIT
budget() { # LINES...
	cp "$T/kiln.yaml" "$config"
	printf '%s\n' "bake:" "$@" >>"$config"
}
definition queued
export DEF=queued
# most FILE...: the most runs that went on at the same moment, by their own events. A run's start is its
# first step's, so that what waited for room is not counted.
most() {
	jq -sr '[.[] | select(.type == "run.start" or .type == "run.end") | {t: .time, d: (if .type == "run.start" then 1 else -1 end)}]
		| sort_by([.t, .d]) | reduce .[] as $e ({now: 0, most: 0}; .now += $e.d | .most = ([.most, .now] | max)) | .most' "$@"
}
run_of() { # TEMPLATE: its newest run
	"$KILN" runs list -g golden --jq "[.[] | select(.properties.templateId | ascii_downcase | endswith(\"/$1\"))]
		| sort_by(.properties.startTime) | last | .name"
}

# So many processes on one data directory.
budget "  cpus: 2"
for i in $(seq "$n"); do
	template "many$i" "" "[{\"type\":\"Shell\",\"name\":\"one\",\"inline\":[\"echo $i $T > /etc/many\"]},
		{\"type\":\"Shell\",\"name\":\"two\",\"inline\":[\"test \\\"\$(cat /etc/many)\\\" = '$i $T'\"]}]"
done
pids=() failed=0
for i in $(seq "$n"); do
	"$KILN" bake "$T/many$i.json" -g golden --json >"$T/many$i.jsonl" 2>"$T/many$i.err" &
	pids+=($!)
done
for i in $(seq "$n"); do
	wait "${pids[$((i - 1))]}" || { failed=$((failed + 1)); tail -n 3 "$T/many$i.err" "$T/many$i.jsonl"; }
done
check "$n bakes at once: all end well" same 0 "$failed"
events() { # NAME...: the events of their newest runs
	local name
	for name in "$@"; do
		cat "$KILN_DATA/runs/$(run_of "$name")/events.jsonl"
	done
}
mapfile -t names < <(seq -f 'many%.0f' "$n")
events "${names[@]}" >"$T/events"
check "each ran once" same "$n" "$(jq -s '[.[] | select(.type == "run.start")] | length' "$T/events")"
check "never more than two at once" test "$(most "$T/events")" -le 2
check "some had to wait, and were told" grep -q '"type":"queue"' "$T"/many*.jsonl
check "each published a version of its own" same "$n" "$(jq -s '[.[] | select(.type == "run.end") | .outputs[].artifactId] | unique | length' "$T/events")"
check "nothing is left" nothing_left

# Memory is a budget too; a bake that exceeds all of it runs alone.
budget "  cpus: 8" "  memoryMegabytes: 3000"
for i in a b c; do
	template "heavy$i" "" "[{\"type\":\"Shell\",\"name\":\"one\",\"inline\":[\"echo $i $T > /etc/heavy\"]}]"
	jq --arg i $i '.properties.kiln.resources.memoryMegabytes = (if $i == "c" then 4000 else 1600 end)' "$T/heavy$i.json" >"$T/h$i.json"
	"$KILN" bake "$T/h$i.json" -g golden --name "heavy$i" >"$T/h$i.out" 2>&1 &
done
wait
events heavya heavyb heavyc >"$T/events"
check "two that need more memory than there is, and one that exceeds it: one at a time" same 1 "$(most "$T/events")"
template hog "" '[{"type":"Shell","name":"hog","inline":["test \"$(head -c 400000000 /dev/zero | tail -n 1 | wc -c)\" = 400000000"]}]'
jq '.properties.kiln.resources.memoryMegabytes = 256' "$T/hog.json" >"$T/hog2.json"
if [ -n "$(find /sys/fs/cgroup -name memory.limit_in_bytes -o -name memory.max 2>/dev/null | head -n 1)" ]; then
	check "a step has the memory that its bake was counted with" status 1 "$KILN" bake "$T/hog2.json" -g golden --name hog
else
	echo "skip a step's memory: this host lends no memory controller"
fi
template badneed "" '[{"type":"Shell","name":"s","inline":["true"]}]'
jq '.properties.kiln.resources.cpus = 0' "$T/badneed.json" >"$T/badneed2.json"
check "a need that makes no sense is refused" status 3 "$KILN" bake "$T/badneed2.json" -g golden

# By a server's workers; one template, asked for again while it runs.
budget "  cpus: 2"
mkfifo "$T/ready" "$T/go"
"$KILN" serve --listen 127.0.0.1:0 >"$T/ready" 2>"$T/serve.err" &
server=$!
read -r _ <"$T/ready"
api=2024-02-01
sock=/run/kiln/$(printf %s "$(realpath "$KILN_DATA")" | sha256sum | cut -c1-8)/api.sock
op() { # BODY: POST run; where its operation is
	curl -s -D - -o "$T/post" --unix-socket "$sock" -X POST -H 'Content-Type: application/json' -d "$1" \
		"http://localhost/subscriptions/$(subscription)$TPL/again/run?api-version=$api" |
		tr -d '\r' | sed -nE 's/^azure-asyncoperation: //Ip'
}
id() { sed -E 's,.*/([0-9a-f-]{36}).*,\1,' <<<"$1"; }
template again "" "[{\"type\":\"Shell\",\"name\":\"one\",\"inline\":[\"echo $T > /etc/again\", \"sleep 3\"]}]"
jq 'del(.type)' "$T/again.json" | jq '.identity = {type: "None"} | .properties.kiln = {replace: true}' >"$T/again.body"
"$KILN" rest PUT "$TPL/again" --api-version $api --body "$T/again.body" --wait >/dev/null
runs_of_again() {
	"$KILN" runs list -g golden --jq '[.[] | select(.properties.templateId | endswith("/again"))] | length'
}
before=$(runs_of_again)
first=$(op '{}') joined=$(op '{"noCache": false}') queued=$(op '{"noCache": true}') second=$(op '{"noCache": true}')
check "the same request joins the run" same "$first" "$joined"
check "another one queues" test -n "$queued" -a "$(id "$queued")" != "$(id "$first")"
check "and is joined by its like" same "$queued" "$second"
check "the template waits until they are done" same 409 "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$sock" \
	-X PUT -H 'Content-Type: application/json' -d @"$T/again.body" "http://localhost/subscriptions/$(subscription)$TPL/again?api-version=$api")"
for i in $(seq 3); do
	template "served$i" "" "[{\"type\":\"Shell\",\"name\":\"one\",\"inline\":[\"echo served $i $T > /etc/many\"]}]"
	"$KILN" bake "$T/served$i.json" -g golden >"$T/served$i.out" 2>&1 &
	pids[i]=$!
done
wait "${pids[1]}" && wait "${pids[2]}" && wait "${pids[3]}"
check "bakes beside it, by the workers" same 0 $?
ended() { # OPERATION: the state that it ends in
	local state=InProgress
	while [ "$state" = InProgress ]; do
		state=$("$KILN" rest GET "$1" | jq -r .status)
		[ "$state" != InProgress ] || sleep 0.3
	done
	echo "$state"
}
check "the first run ends well" same Succeeded "$(ended "$first")"
check "and so does the one that queued" same Succeeded "$(ended "$queued")"
cat "$KILN_DATA/runs/$(id "$first")/events.jsonl" "$KILN_DATA/runs/$(id "$queued")/events.jsonl" >"$T/events"
check "one after the other" same 1 "$(most "$T/events")"
check "two runs, not four" same $((before + 2)) "$(runs_of_again)"
kill "$server"
wait "$server"
server=
check "nothing is left by the server" nothing_left
