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
