#!/bin/bash
# Windows images, baked in a simulated guest (windows_host.mjs): every kind of step with its fields,
# restarts, updates, sysprep, validators. What a real Windows says to it is not seen here.
# shellcheck disable=SC2016
. "$SRC/tests/integration/lib.sh"
KILN_DATA=$T/data
export KILN_DATA
"$KILN" init >/dev/null 2>&1
RUN=$("$KILN" init --json | jq -r .runDirectory)
mkfifo "$T/fifo"
host=
host_start() { # NAME=VALUE...: environment of the simulated machine
	host_stop
	rm -f "$T/asked"
	mkdir -p "$RUN"
	chmod 711 "$RUN"
	env "$@" SOCKET="$RUN/vmhost.sock" LOG="$T/asked" node "$SRC/tests/integration/windows_host.mjs" 2>"$T/host.err" &
	host=$!
	for _ in $(seq 200); do
		grep -qs ready "$T/asked" && return 0
		read -r -t 0.05 <>"$T/fifo"
	done
	cat "$T/host.err"
	return 1
}
host_stop() {
	[ -n "$host" ] && kill "$host" && wait "$host" 2>/dev/null
	host=
	rm -f "$RUN/vmhost.sock"
}
trap host_stop EXIT
asked() { # JQ: of all that the machine was asked, in order
	jq -sc "[.[] | $1]" "$T/asked"
}

# The image: a disk that kiln cannot read, brought in by its owner.
truncate -s 16M "$T/os.raw"
head -c 300000 /dev/urandom | dd of="$T/os.raw" bs=1M seek=4 conv=notrunc status=none
qemu-img convert -f raw -O vpc -o subformat=fixed,force_size "$T/os.raw" "$T/os.vhd"
"$KILN" group create golden --location eastus >/dev/null
printf '{"location":"eastus","properties":{"hyperVGeneration":"V2","storageProfile":{"osDisk":{"osType":"Windows",
	"osState":"Generalized","blobUri":"file://%s"}}}}' "$T/os.vhd" |
	"$KILN" rest PUT "$G/providers/Microsoft.Compute/images/win" --api-version 2023-03-01 --body - --wait >"$T/put" 2>&1 ||
	cat "$T/put"
echo '{"location":"eastus"}' | "$KILN" rest PUT "$GAL" --api-version 2023-07-03 --body - --wait >/dev/null
echo '{"location":"eastus","properties":{"osType":"Windows","osState":"Generalized","hyperVGeneration":"V2",
	"architecture":"x64","identifier":{"publisher":"p","offer":"win","sku":"s"}}}' |
	"$KILN" rest PUT "$GAL/images/win" --api-version 2023-07-03 --body - --wait >/dev/null

win() { # NAME STEPS [KILN] [VALIDATORS]: a template, and its bake
	DEF=win template "$1" "" "$2" "${4:-[]}"
	jq --arg id "/subscriptions/$(subscription)$G/providers/Microsoft.Compute/images/win" --argjson kiln "${3:-{\}}" \
		'.properties.source = {type: "ManagedImage", imageId: $id} | .properties.kiln = $kiln' "$T/$1.json" >"$T/x" &&
		mv "$T/x" "$T/$1.json"
	"$KILN" bake "$T/$1.json" -g golden --json >"$T/$1.out" 2>"$T/$1.err"
}
printf 'Write-Output '"'from a file'"'\r\nexit 7\r\n' >"$T/seven.ps1"
echo content >"$T/data.txt"

host_start UPDATES='[{"title":"KB1"},{"title":"KB2 Preview"},{"title":"KB3","restart":true},{"title":"KB4"}]' NO_FREEZE=1
win all '[
	{"type":"PowerShell","name":"inline","inline":["Write-Output '"'it''s here'"'","Write-Output $env:GREETING","Write-Error '"'on the other stream'"'"]},
	{"type":"PowerShell","name":"codes","inline":["cmd /c exit 3010"],"validExitCodes":[0,3010],"runElevated":true,"runAsSystem":true},
	{"type":"PowerShell","name":"uri","scriptUri":"file://'"$T"'/seven.ps1","sha256Checksum":"'"$(sha256sum "$T/seven.ps1" | cut -c1-64)"'","validExitCodes":[7]},
	{"type":"File","name":"file","sourceUri":"file://'"$T"'/data.txt","destination":"C:\\kiln\\data.txt"},
	{"type":"WindowsRestart","name":"again","restartCommand":"shutdown /r /f /t 0 /c \"kiln\"","restartCheckCommand":"exit 0","restartTimeout":"1m"},
	{"type":"WindowsUpdate","name":"updates","searchCriteria":"IsInstalled=0","filters":["exclude:$_.Title -like '"'*Preview*'"'","include:$true"],"updateLimit":2},
	{"type":"WindowsRestart","name":"plainly"}]' '{"environment":{"GREETING":"it'"'"'s me"},"network":{"allow":["update.example:443"],"steps":["updates"]}}' \
	'[{"type":"PowerShell","name":"look","inline":["Write-Output '"'checked'"'"]},
	  {"type":"PowerShell","name":"code","inline":["cmd /c exit 5"],"validExitCodes":[5]}]'
check "every kind of step: exit status 0" same 0 $?
check "its errors, if any" same "" "$(grep '^kiln:' "$T/all.err")"
said() { "$KILN" log all "$1" -g golden --json | jq -r 'select(.type == "output") | .line'; }
check "inline: output, environment, both streams, no line ends of Windows" same $'it\'s here\nit\'s me\non the other stream' "$(said inline)"
check "scriptUri: its output" same "from a file" "$(said uri)"
check "the executor is vm, and says why" same '["vm","the source is Windows"]' \
	"$(jq -c '[.executor.name, .executor.why]' "$KILN_DATA"/runs/*/run.json | sort -u)"
check "PowerShell is called without prompts" same '[["-NoLogo","-NoProfile","-NonInteractive","-ExecutionPolicy","Bypass","-EncodedCommand"]]' \
	"$(asked 'select(.powershell) | .powershell' | jq -c unique)"
check "a file lands where it says" same '[{"file":"C:\\kiln\\data.txt","bytes":8}]' "$(asked 'select(.file)')"
check "restarts: the template's command, after an update, the system's own" same 3 "$(asked 'select(.restart)' | jq length)"
check "the restart command is the template's" same '[["/c","shutdown /r /f /t 0 /c \"kiln\""]]' \
	"$(asked 'select(.exec != null and (.exec | endswith("cmd.exe")) and (.args[1] | startswith("shutdown"))) | .args')"
check "the check command ran" same 1 "$(asked 'select(.args == ["/c","exit 0"])' | jq length)"
check "updates: in rounds of two, without what is filtered, until none is left" same '[["KB1","KB3"],["KB4"],[]]' \
	"$(asked 'select(.update) | .update')"
check "updates: the criteria" same '["IsInstalled=0"]' "$(asked 'select(.update) | .criteria' | jq -c unique)"
check "a step with a network has the proxy, the others not" same '[1,0]' \
	"$(asked 'select(.script)' | jq -c '[([.[] | select(.env.http_proxy != null) | .script | contains("Update.Session")] | unique | length),
		([.[] | select(.env.http_proxy != null and (.script | contains("Update.Session") | not))] | length)]')"
check "a snapshot after every step, and one after sysprep's power-off" same 7 "$(asked 'select(has("snapshot"))' | jq length)"
check "sysprep came last, and Windows powered off" same '[{"off":true}]' "$(asked 'select(.off)')"
check "validators ran in a guest of their own" same checked "$("$KILN" log all look -g golden --json | jq -r 'select(.type == "output") | .line')"
check "a version was made" same 1 "$("$KILN" version list golden/win --json 2>/dev/null | jq -s 'flatten | length')"
check "nothing is left behind" nothing_left
check "a second bake runs no step" bash -c "'$KILN' bake '$T/all.json' -g golden --json | jq -se '[.[] | select(.type == \"step.done\" and .cached == false and (.kind | test(\"PowerShell|Windows|File\")))] == []'"

host_start
win codes '[{"type":"PowerShell","name":"bad","inline":["Write-Output '"'last words'"'","cmd /c exit 9"],"validExitCodes":[0,8]}]'
check "an exit code that is not valid: exit status 1" same 1 $?
check "the error names step, code and last words" bash -c "jq -se 'map(select(.error)) | tostring | contains(\"bad\") and contains(\"status 9\") and contains(\"last words\")' '$T/codes.out'"
check "guests that freeze are frozen at a snapshot" bash -c "'$KILN' bake '$T/all.json' -g golden --refresh inline --until inline >/dev/null 2>&1; jq -se '[.[] | select(has(\"snapshot\")) | .snapshot] == [true]' '$T/asked'"
win zero '[{"type":"PowerShell","name":"zero","inline":["Write-Output '"'fine'"'"],"validExitCodes":[3010]}]'
check "exit code 0 can be invalid" same 1 $?
win sh '[{"type":"Shell","name":"sh","inline":["true"]}]'
check "Shell on Windows: refused" same 3 $?
check "Shell on Windows: PowerShell is named" grep -q PowerShell "$T/sh.out" "$T/sh.err"
win contained '[{"type":"PowerShell","name":"p","inline":["exit 0"]}]' '{"executor":"container"}'
check "Windows in the container executor is refused" grep -q 'foreign image\|running system' "$T/contained.out"

host_start STAY_DOWN=1
win gone '[{"type":"WindowsRestart","name":"gone","restartTimeout":"2s"}]'
check "a restart that does not end: exit status 1" same 1 $?
check "a restart that does not end leaves nothing" nothing_left

host_start UPDATES='[{"title":"KB9","endless":true}]'
win endless '[{"type":"WindowsUpdate","name":"endless"}]'
check "updates that never end: exit status 1" same 1 $?
check "updates that never end: said" grep -q 'after 50 rounds' "$T/endless.out"
check "updates that never end leave nothing" nothing_left
host_stop
