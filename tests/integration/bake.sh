#!/bin/bash
# Ten customizers, one failing: the error, the exit status, nothing left behind, resume after mending.
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1

steps() { # COMMAND_OF_STEP_7
	jq -nc --arg bad "$1" '[range(1; 11) | {type: "Shell", name: "step\(.)",
		inline: [if . == 7 then $bad else "echo hello from step \(.)", "echo \(.) > /etc/step\(.)" end]}]'
}
template ten "" "$(steps 'echo about to fail >&2; exit 42')"
"$KILN" bake "$T/ten.json" -g golden >"$T/fail.out" 2>&1
code=$?
check "a failing script: exit status 1" same 1 $code
check "the error names the step" grep -q step7 "$T/fail.out"
check "the error gives the exit status" grep -q 42 "$T/fail.out"
check "the error has the last lines" grep -q 'about to fail' "$T/fail.out"
check "the error says how to look inside" grep -q 'kiln shell' "$T/fail.out"
check "the error says how to resume" grep -qi 'resume' "$T/fail.out"
check "no version was made" same 0 "$("$KILN" rest GET "$GAL/images/debian-12/versions" --api-version 2023-07-03 |
	jq --arg r ten '[.value[] | select(.tags.template == $r)] | length')"
check "a failed bake leaves nothing behind" nothing_left
check "the template says Failed" same Failed "$("$KILN" rest GET "$TPL/ten" --api-version 2024-02-01 |
	jq -r .properties.lastRunStatus.runState)"
check "the disk can be opened as it was" bash -c "'$KILN' shell ten@step6 -g golden -- cat /etc/step6 | grep -qx 6"

template ten "" "$(steps 'echo mended > /etc/step7')"
"$KILN" bake "$T/ten.json" -g golden --json >"$T/mended.jsonl" 2>"$T/mended.err"
check "after mending: exit status 0" same 0 $?
check "only the steps from the failed one ran" same "step7 step8 step9 step10" \
	"$(jq -sr '[.[] | select(.type == "step.done" and .cached == false and (.kind == "Shell")) | .name] | join(" ")' "$T/mended.jsonl")"
check "nothing is left behind" nothing_left

# What would run, and why; running from a step on; keeping on; the log.
explain() { "$KILN" bake "$T/ten.json" -g golden --explain --json "$@" >"$T/explain.json"; }
check "--explain: nothing would run" explain
check "--explain: all is cached" jq -e '[.steps[].state] | length == 11 and all(. == "cached")' "$T/explain.json"
template ten "" "$(steps 'echo mended twice > /etc/step7')"
check "--explain after a change" explain
check "--explain: the step and all after it" same "step7 step8 step9 step10 generalize" \
	"$(jq -r '[.steps[] | select(.state == "runs") | .name] | join(" ")' "$T/explain.json")"
check "--explain: the input that changed" same step.script \
	"$(jq -r '[.steps[] | select(.name == "step7") | .changed[].input] | join(" ")' "$T/explain.json")"
check "--explain changes nothing" same 'echo mended > /etc/step7' "$("$KILN" template show ten -g golden \
	--jq '.properties.customize[6].inline[0]')"
template ten "" "$(steps 'echo mended > /etc/step7')"
"$KILN" bake "$T/ten.json" -g golden --json --from step9 --until step10 >"$T/from.jsonl" 2>"$T/from.err"
check "--from: exit status 0" same 0 $?
check "--from: it and all after it" same "step9 step10" \
	"$(jq -sr '[.[] | select(.type == "step.done" and .cached == false and .kind == "Shell") | .name] | join(" ")' "$T/from.jsonl")"
"$KILN" bake "$T/ten.json" -g golden --json --refresh step2 --until step2 >"$T/refresh.jsonl" 2>"$T/refresh.err"
check "--refresh: it alone" same "step2" \
	"$(jq -sr '[.[] | select(.type == "step.done" and .cached == false and .kind == "Shell") | .name] | join(" ")' "$T/refresh.jsonl")"
check "--from: an unknown step is named" status 1 "$KILN" bake "$T/ten.json" -g golden --explain --from nowhere
template bads "" '[{"type":"Shell","name":"a","inline":["echo a > /etc/a"]},{"type":"Shell","name":"b","inline":["exit 5"]},
	{"type":"Shell","name":"c","inline":["test -e /etc/a && echo c is here"]},{"type":"Shell","name":"d","inline":["exit 6"]}]'
"$KILN" bake "$T/bads.json" -g golden --keep-going >"$T/bads.out" 2>"$T/bads.err"
check "--keep-going: exit status 1" same 1 $?
check "--keep-going: every failure is told" same "2" "$(grep -c 'failed with exit status' "$T/bads.err")"
check "--keep-going leaves nothing behind" nothing_left
check "kiln log of a step" same "c is here" "$("$KILN" log bads c -g golden --json | jq -r 'select(.type == "output") | .line')"
check "kiln log: an unknown step" status 1 "$KILN" log bads z -g golden
check "kiln log -f ends with the run" bash -c "'$KILN' log bads -f -g golden | grep -qx Failed"
check "kiln runs" same 1 "$("$KILN" runs list -g golden --jq '[.[] | select(.properties.state == "Failed" and (.properties.templateId | endswith("/bads")))] | length')"

# Time travel: the disk before and after any step of any run, and what a step changed.
template changes "" '[{"type":"Shell","name":"make","inline":["mkdir -p /opt/x", "echo one > /opt/x/one", "chmod 600 /etc/hosts"]},
	{"type":"Shell","name":"drop","inline":["rm /opt/x/one"]}]'
check "a template to look into" "$KILN" bake "$T/changes.json" -g golden
"$KILN" diff changes@make -g golden --json >"$T/diff.json"
check "kiln diff of a step: its files" same "added /opt/x/,added /opt/x/one,changed /etc/hosts" \
	"$(jq -r '[.files[] | select(.path | test("^/(opt|etc/hosts)")) | "\(.change) \(.path)"] | sort | join(",")' "$T/diff.json")"
check "kiln diff of two steps" same "removed /opt/x/one" "$("$KILN" diff changes@make changes@drop -g golden --json |
	jq -r '.files[] | "\(.change) \(.path)"' | grep /opt/)"
check "a shell before a step" "$KILN" shell changes@^drop -g golden -- cat /opt/x/one
check "a shell after it" status 1 "$KILN" shell changes@drop -g golden -- test -e /opt/x/one
run=$("$KILN" runs list -g golden --jq '[.[] | select(.properties.templateId | endswith("/changes"))][0].name')
check "a shell in a run by its id" "$KILN" shell "$run@make" -g golden -- cat /opt/x/one
check "looking leaves nothing behind" nothing_left

# An error's JSON goes to standard output, alone.
template bad "" '[{"type":"Shell","name":"no","inline":["exit 3"]}]'
"$KILN" bake "$T/bad.json" -g golden --json >"$T/bad.jsonl" 2>/dev/null
check "--json: exit status 1" same 1 $?
check "--json: every line is JSON" jq -e . "$T/bad.jsonl"

# File customizer and its checksum; source of an earlier version; a managed image.
echo 'content of the file' >"$T/motd"
sum=$(sha256sum "$T/motd" | cut -d' ' -f1)
template file "" "[{\"type\":\"File\",\"name\":\"motd\",\"sourceUri\":\"file:motd\",\"destination\":\"/etc/motd\",\"sha256Checksum\":\"$sum\"}]"
check "File customizer, relative file: URI" "$KILN" bake "$T/file.json" -g golden
template file2 "" '[{"type":"File","name":"motd","sourceUri":"file:motd","destination":"/etc/motd","sha256Checksum":"0000000000000000000000000000000000000000000000000000000000000000"}]'
check "a wrong checksum is refused" status 1 "$KILN" bake "$T/file2.json" -g golden
check "nothing is left behind after all of it" nothing_left

definition derived
DEF=derived template derived 2.0.0 '[{"type":"Shell","name":"see","inline":["grep -qx \"content of the file\" /etc/motd","echo derived > /etc/derived"]}]'
jq '.properties.source = {type: "SharedImageVersion", imageVersionId: (.properties.distribute[0].galleryImageId
	| sub("/images/derived.*"; "/images/debian-12/versions/latest"))}
	| .properties.distribute += [{type: "ManagedImage", runOutputName: "managed", location: "eastus",
	  imageId: (.properties.distribute[0].galleryImageId | sub("/galleries/.*"; "/images/derived"))}]' \
	"$T/derived.json" >"$T/derived2.json"
check "source: latest of a definition; targets: version and managed image" "$KILN" bake "$T/derived2.json" -g golden
check "the managed image is there" same Succeeded "$("$KILN" rest GET \
	"$G/providers/Microsoft.Compute/images/derived" --api-version 2022-11-01 | jq -r .properties.provisioningState)"
check "run outputs name both" same "derived managed" "$("$KILN" rest GET "$TPL/derived2/runOutputs" --api-version 2024-02-01 |
	jq -r '[.value[].name] | sort | join(" ")')"
DEF=derived template third 3.0.0 '[{"type":"Shell","name":"see","inline":["grep -qx derived /etc/derived"]}]'
jq '.properties.source = {type: "ManagedImage", imageId: (.properties.distribute[0].galleryImageId | sub("/galleries/.*"; "/images/derived"))}' \
	"$T/third.json" >"$T/third2.json"
check "source: a managed image" "$KILN" bake "$T/third2.json" -g golden

# Network: off unless allowed, and then only what was allowed.
template net "" '[{"type":"Shell","name":"offline","inline":["! (exec 3<>/dev/tcp/127.0.0.1/3128) 2>/dev/null"]}]'
check "a step has no network" "$KILN" bake "$T/net.json" -g golden

# Cancel and the time limit kill everything at once.
template slow "" '[{"type":"Shell","name":"forever","inline":["trap \"\" TERM INT", "(setsid sh -c \"trap : TERM; while :; do sleep 1000; done\" &)", "echo started", "while :; do sleep 1000; done"]}]'
coproc BAKE { exec "$KILN" bake "$T/slow.json" -g golden --json 2>/dev/null; }
pid=$BAKE_PID
while IFS= read -r line <&"${BAKE[0]}"; do
	case $line in *started*) break ;; esac
done
kill -INT "$pid"
cat <&"${BAKE[0]}" >/dev/null
wait "$pid"
check "Ctrl-C: exit status 4" same 4 $?
check "Ctrl-C leaves nothing behind" nothing_left
jq '.properties.buildTimeoutInMinutes = 1' "$T/slow.json" >"$T/slow1.json"
"$KILN" bake "$T/slow1.json" -g golden >"$T/timeout.out" 2>&1
check "buildTimeoutInMinutes: exit status 1" same 1 $?
check "buildTimeoutInMinutes is named" grep -qi 'buildTimeoutInMinutes' "$T/timeout.out"
check "the time limit leaves nothing behind" nothing_left

# The same through a server, whose worker bakes: live lines, the exit status, a cancel.
mkfifo "$T/ready"
"$KILN" serve --listen 127.0.0.1:0 >"$T/ready" 2>"$T/serve.err" &
server=$!
read -r line <"$T/ready"
check "the server is ready" same ready "${line%% *}"
template served "" '[{"type":"Shell","name":"say","inline":["echo said by the worker"]}]'
"$KILN" bake "$T/served.json" -g golden >"$T/served.out" 2>"$T/served.err"
check "a bake by a server: exit status 0" same 0 $?
check "a bake by a server shows its output" grep -q 'said by the worker' "$T/served.err"
check "a bake by a server publishes" grep -q '^published' "$T/served.out"
template serveslow "" '[{"type":"Shell","name":"forever","inline":["echo started", "while :; do sleep 1000; done"]}]'
coproc SLOW { exec "$KILN" bake "$T/serveslow.json" -g golden --json 2>/dev/null; }
pid=$SLOW_PID
while IFS= read -r line <&"${SLOW[0]}"; do
	case $line in *started*) break ;; esac
done
kill -INT "$pid"
cat <&"${SLOW[0]}" >/dev/null
wait "$pid"
check "Ctrl-C of a bake by a server: exit status 4" same 4 $?
# A worker that is told to stop in the middle of a step hands the bake back; the next worker begins that step
# again and finishes. The step only has to last until the signal comes.
template handed "" '[{"type":"Shell","name":"first","inline":["echo first > /etc/first"]},
	{"type":"Shell","name":"lasting","inline":["echo started", "sleep 15", "echo ended"]}]'
coproc HANDED { exec "$KILN" bake "$T/handed.json" -g golden --json 2>/dev/null; }
pid=$HANDED_PID
while IFS= read -r line <&"${HANDED[0]}"; do
	case $line in *started*) break ;; esac
done
old=$(pgrep -f -- "worker --lifeline .*--data $(realpath "$KILN_DATA")\$")
kill -TERM "$old"
cat <&"${HANDED[0]}" >"$T/handed.jsonl"
wait "$pid"
check "a bake whose worker is told to stop: exit status 0" same 0 $?
check "its worker has ended" status 1 kill -0 "$old"
check "another worker began the step again" grep -q started "$T/handed.jsonl"
run=$("$KILN" runs list --json | jq -r '[.[] | select(.properties.templateId | endswith("/handed"))][0].id')
check "and published" same 1 "$("$KILN" rest GET "$GAL/images/debian-12/versions" --api-version 2023-07-03 |
	jq --arg run "$run" '[.value[] | select(.properties.storageProfile.source.id == $run)] | length')"
kill "$server"
wait "$server"
check "the server leaves nothing behind" nothing_left
