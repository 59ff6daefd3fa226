#!/bin/bash
# One set of steps in both executors: what a step sees, what it may reach, how it ends, what stays. The
# guest's disk was brought in from outside, so that trust chooses the guest; one boot.
# shellcheck disable=SC2016
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
DEF=conform
export DEF
definition conform || exit 1 # what strangers made is no latest of the other suites
mkfifo "$T/fifo"
image=$G/providers/Microsoft.Compute/images/foreign

# The same disk twice: made here, and as a stranger's.
base=$("$KILN" version list golden/debian-12 --jq '.[0].name')
"$KILN" version export "golden/debian-12/$base" --format vhd -o "$T/foreign.vhd" >"$T/export" 2>&1 || cat "$T/export"
printf '{"location":"eastus","properties":{"hyperVGeneration":"V2","storageProfile":{"osDisk":{"osType":"Linux",
	"osState":"Generalized","blobUri":"file://%s"}}}}' "$T/foreign.vhd" |
	"$KILN" rest PUT "$image" --api-version 2023-03-01 --body - --wait >"$T/put" 2>&1 || cat "$T/put"
rm -f "$T/foreign.vhd"

cat >"$T/ask.pl" <<'END'
#!/usr/bin/perl
# The status line of a GET through each of the proxies' addresses, or "nothing".
use IO::Socket::INET;
my $url = shift;
for my $at ('10.0.2.100:3128', '127.0.0.1:3128') {
	my $s = IO::Socket::INET->new(PeerAddr => $at, Timeout => 20) or next;
	print $s "GET $url HTTP/1.0\r\n\r\n";
	my $line = <$s> or next;
	$line =~ s/\r?\n//;
	print "$line\n";
	exit;
}
print "nothing\n";
END
printf '#!/usr/bin/perl\nprint "perl at $0\\n"; open F, ">/root/perl"; print F "kept\\n";\n' >"$T/perl.pl"
printf '#!/bin/sh\necho tool\n' >"$T/tool"
chmod 755 "$T/tool" "$T/ask.pl"
steps=$(jq -nc --arg t "$T" '[
	{type: "Shell", name: "fixed", inline: ["id -u; pwd; umask; wc -c </dev/stdin; ls /run/kiln",
		"echo \"$HOME $USER $LANG $DEBIAN_FRONTEND $PATH $GREETING\"; test ! -e /etc/nothing || exit 1; echo here >/root/fixed"]},
	{type: "Shell", name: "script", scriptUri: "file://\($t)/perl.pl"},
	{type: "File", name: "tool", sourceUri: "file://\($t)/tool", destination: "/opt/tool"},
	{type: "File", name: "ask", sourceUri: "file://\($t)/ask.pl", destination: "/opt/ask"},
	{type: "Shell", name: "kept", inline: ["/opt/tool; cat /root/fixed /root/perl; stat -c \"%a %u %g\" /opt/tool; ls -A /run/kiln"]},
	{type: "Shell", name: "output", inline: ["echo one; echo two >&2; seq 1 2000 | tail -n 1; head -c 100000 /dev/zero | tr \"\\0\" x | wc -c"]},
	{type: "Shell", name: "offline", inline: ["/opt/ask http://example.com/; env | grep -ci proxy || true"]},
	{type: "Shell", name: "online", inline: ["/opt/ask http://example.com/; env | grep -ci proxy", "uri=$(sed -n \"s/^URIs: //p\" /etc/apt/sources.list.d/*.sources | head -n 1)",
		"/opt/ask \"${uri%/}/dists/bookworm/Release\" | cut -d\" \" -f2"]},
	{type: "PowerShell", name: "powershell", inline: ["Write-Output x"], validExitCodes: [127]}]')
kiln='{"environment":{"GREETING":"it'"'"'s me"},"network":{"allow":["apt"],"steps":["online"],"archive":"ignore"}}'
conform() { # NAME STEPS
	template "$1" "" "$2"
	jq --argjson kiln "$kiln" '.properties.kiln = $kiln' "$T/$1.json" >"$T/x" && mv "$T/x" "$T/$1.json"
}
conform inside "$steps"
conform booted "$steps"
jq --arg id "/subscriptions/$(subscription)$image" '.properties.source = {type: "ManagedImage", imageId: $id}' "$T/booted.json" >"$T/x" &&
	mv "$T/x" "$T/booted.json"

check "the container executor: exit status 0" "$KILN" bake "$T/inside.json" -g golden
"$KILN" bake "$T/booted.json" -g golden --json >"$T/booted.out" 2>"$T/booted.err"
check "the vm executor: exit status 0" same 0 $? || tail -n 5 "$T/booted.err"
fact() { # NAME JQ: of its newest run
	local id
	id=$("$KILN" runs list -g golden --jq "[.[] | select(.properties.templateId | endswith(\"/$1\"))][0].name")
	jq -r "$2" "$KILN_DATA/runs/$id/run.json"
}
chosen() {
	fact "$1" '"\(.executor.name): \(.executor.why)"'
}
check "what was made here runs in a container" same "container: every ancestor of the source was made here" "$(chosen inside)"
check "a foreign disk runs in a guest" same "vm: the source descends from a foreign image" "$(chosen booted)"
said() { "$KILN" log "$1" "$2" -g golden --json | jq -r 'select(.type == "output") | .line' | sort; }
for step in fixed script kept output offline online powershell; do
	said inside $step >"$T/a"
	said booted $step >"$T/b"
	check "$step: the same in both" diff "$T/a" "$T/b"
	check "$step: it said something" test -s "$T/a"
done
check "the environment is the fixed one and the template's" grep -q "^/root root C.UTF-8 noninteractive .*it's me" <(said booted fixed)
check "without a network there is none" same $'0\nnothing' "$(said booted offline)"
check "what is not listed is refused" grep -q '^HTTP/1.1 403' <(said booted online)
check "what is listed is reached" grep -q '^200$' <(said booted online)
check "a refusal is an event" jq -se 'map(select(.type == "networkDenied" and .host == "example.com")) | length == 1' "$T/booted.out"
check "verify passed on the foreign disk" jq -se 'map(select(.type == "step.done" and .name == "verify")) | length == 1' "$T/booted.out"
check "what comes of it is foreign too" same false "$(fact booted .artifact.facts.trusted)"
check "nothing is left behind" nothing_left

# Cancelled while the guest boots.
"$KILN" bake "$T/booted.json" -g golden --json --refresh fixed --until fixed >"$T/cancel.out" 2>&1 &
pid=$!
for _ in $(seq 2400); do
	grep -q '"vm.stage"' "$T/cancel.out" && break
	read -r -t 0.05 <>"$T/fifo"
done
kill -INT $pid
wait $pid
check "cancelled: exit status 4" same 4 $?
check "cancelled: nothing is left behind" nothing_left
conform foreign-refused "$steps"
jq --slurpfile b "$T/booted.json" '.properties.source = $b[0].properties.source | .properties.kiln.executor = "container"' "$T/foreign-refused.json" >"$T/x" &&
	mv "$T/x" "$T/foreign-refused.json"
"$KILN" bake "$T/foreign-refused.json" -g golden >"$T/foreign-refused.out" 2>&1
check "a foreign disk in the container executor is refused" same 3 $?
check "the refusal says why" grep -q 'foreign image' "$T/foreign-refused.out"

# Boot programs on the EFI partition are the packages' own, also after a step that changed these.
template esp "" '[{"type":"Shell","name":"upgrade","inline":["echo upgraded >>/usr/lib/shim/mmx64.efi.signed"]}]'
check "an upgraded boot program: exit status 0" "$KILN" bake "$T/esp.json" -g golden --no-cache
"$KILN" version export esp@generalize -g golden -o "$T/esp.raw" >"$T/export" 2>&1
on_esp() {
	mtype -i "$T/esp.raw@@1M" "::/EFI/$1"
}
check "it is on the EFI partition, in both places" same $'upgraded\nupgraded' "$(for d in BOOT debian; do on_esp $d/mmx64.efi | tail -c 9; done)"
check "it alone was replaced" same 2 "$(fact esp '.steps[] | select(.name == "generalize") | .report[] | select(.operation == "boot-files") | .changed')"
rm -f "$T/esp.raw"

# Generalize alone, of a stranger's disk that grows: in user space, without a boot.
template grown "" '[]'
jq --slurpfile b "$T/booted.json" '.properties.source = $b[0].properties.source | .properties.vmProfile = {osDiskSizeGB: 6}' "$T/grown.json" >"$T/x" &&
	mv "$T/x" "$T/grown.json"
check "a foreign disk is generalized offline" "$KILN" bake "$T/grown.json" -g golden
"$KILN" version export grown@generalize -g golden -o "$T/grown.raw" >"$T/export" 2>&1
check "it grew, table and file system" bash -c "sfdisk --verify '$T/grown.raw' && dumpe2fs -h '$T/grown.raw?offset=$((130 * 1048576))' 2>/dev/null |
	awk '/^Block count/ {exit !(\$3 * 4096 > 5.8e9)}'"
check "its file system is clean" e2fsck -fn "$T/grown.raw?offset=$((130 * 1048576))"
rm -f "$T/grown.raw"
check "nothing is left behind in the end" nothing_left
