#!/bin/bash
# The step cache by mutation: every input of a step in turn, told by `kiln bake --explain`. A change
# of an input runs the step that it belongs to and all after it, and nothing else; a change of
# anything else runs nothing. A handful of the mutations is baked.
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
D=$T/tpl
mkdir -p "$D"

# A package archive of one's own, so that it can change: signed, with nothing in it.
export GNUPGHOME=$T/gpg
mkdir -m 700 "$GNUPGHOME"
gpg -q --batch --passphrase '' --quick-gen-key archive ed25519 sign never 2>/dev/null
gpg -q --export >"$T/archive.gpg"
release() { # TEXT DATE
	mkdir -p "$T/www/debian/dists/bookworm"
	printf '%s\n' "Origin: Debian" "Suite: stable" "Codename: bookworm" "Date: $2" "Architectures: amd64" \
		"Components: main" "Description: $1" "SHA256:" \
		" $(sha256sum </dev/null | cut -d' ' -f1) 0 main/binary-amd64/Packages" |
		gpg -q --batch --yes --clearsign -o "$T/www/debian/dists/bookworm/InRelease"
}
release one "Sat, 21 Nov 2026 08:00:00 UTC"
cat >"$T/www.mjs" <<'END'
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
const server = createServer(async (q, s) => {
	const body = await readFile(process.argv[2] + q.url).catch(() => null);
	s.writeHead(body ? 200 : 404).end(body);
}).listen(+process.argv[3], "127.0.0.1", () => console.log(server.address().port));
END
mkfifo "$T/port"
serve() { # PORT
	node "$T/www.mjs" "$T/www" "$1" >"$T/port" &
	www=$!
	read -r port <"$T/port"
}
serve 0
config=$KILN_DATA/kiln.yaml
cp "$config" "$T/kiln.yaml" 2>/dev/null || : >"$T/kiln.yaml"
with_archive() {
	cp "$T/kiln.yaml" "$config"
	printf '%s\n' "$1" "platform:" "  sources:" \
		"    - deb [signed-by=$T/archive.gpg] http://127.0.0.1:$port/debian bookworm main" >>"$config"
}
end() {
	kill "$www"
	gpgconf --kill all
	if [ -s "$T/kiln.yaml" ]; then cp "$T/kiln.yaml" "$config"; else rm -f "$config"; fi
}
trap end EXIT
asked_before() { # the archive is asked anew, as it would be a minute later
	jq '.asked = 0' "$KILN_DATA/cache/archive/state.json" >"$T/state.json" &&
		cp "$T/state.json" "$KILN_DATA/cache/archive/state.json"
}

# Eight steps, from a version, so that the archive is an input of a step alone.
template source "" "[{\"type\":\"Shell\",\"name\":\"s\",\"inline\":[\"echo source $T > /etc/source\"]}]"
check "a source of two versions" "$KILN" bake "$T/source.json" -g golden --name cache-source
template source "" "[{\"type\":\"Shell\",\"name\":\"s\",\"inline\":[\"echo other $T > /etc/source\"]}]"
check "the second one" "$KILN" bake "$T/source.json" -g golden --name cache-source
mapfile -t versions < <("$KILN" rest GET "$GAL/images/debian-12/versions" --api-version 2023-07-03 |
	jq -r '[.value[].name] | sort_by(split(".") | map(tonumber)) | .[-2:][]')
with_archive ""
files() {
	printf 'content\n' >"$D/motd"
	printf '#!/bin/sh\necho from the script > /etc/by-script\n' >"$D/x.sh"
	chmod 644 "$D/motd" "$D/x.sh"
}
files
template base "" '[{"type":"File","name":"motd","sourceUri":"file:motd","destination":"/etc/motd"},
	{"type":"Shell","name":"one","inline":["echo one > /etc/one", "echo more >> /etc/one"]},
	{"type":"Shell","name":"two","inline":["echo two > /etc/two"]},
	{"type":"Shell","name":"net","inline":["echo net > /etc/net"]},
	{"type":"Shell","name":"script","scriptUri":"file:x.sh"},
	{"type":"Shell","name":"six","inline":["echo $GREETING > /etc/six"]},
	{"type":"File","name":"late","sourceUri":"file:motd","destination":"/etc/late"},
	{"type":"Shell","name":"last","inline":["echo last > /etc/last"]}]'
jq --arg v "${versions[0]}" '.parameters = {word: {type: "string", defaultValue: "last"}}
	| .properties.customize[7].inline = ["[concat(\u0027echo \u0027, parameters(\u0027word\u0027), \u0027 > /etc/last\u0027)]"]
	| .properties.source = {type: "SharedImageVersion", imageVersionId: (.properties.distribute[0].galleryImageId + "/versions/" + $v)}
	| .properties.kiln = {network: {allow: ["apt", "example.org:443"], steps: ["net"]}, environment: {GREETING: "hello", AAA: "a"},
	  refresh: "1"}' "$T/base.json" >"$D/base.json"
bake() { "$KILN" bake "$1" -g golden --name cached --json "${@:2}" >"$T/bake.jsonl" 2>"$T/bake.err"; }
ran() {
	jq -sr '[.[] | select(.type == "step.done" and .cached == false and (.kind == "Shell" or .kind == "File" or .kind == "Generalize"))
		| .name] | join(" ")' "$T/bake.jsonl"
}
all="motd one two net script six late last generalize"
check "the first bake" bake "$D/base.json"
check "runs every step" same "$all" "$(ran)"

# runs FIRST: what is told to run is FIRST and all after it ("" = nothing).
runs() {
	local want="" got
	[ -z "$1" ] || want=$(sed -E "s/.*\\b($1\\b.*)/\\1/" <<<"${order:-$all}")
	got=$("$KILN" bake "${file:-$D/m.json}" -g golden --name "${name:-cached}" --explain --json "${args[@]}" |
		jq -r '[.steps[] | select(.state == "runs") | .name] | join(" ")') || return 1
	same "$want" "$got"
}
args=() count=0
mutate() { # NAME FIRST [JQ]
	count=$((count + 1))
	jq "${3:-.}" "$D/base.json" >"$D/m.json"
	check "$1: ${2:-nothing} runs" runs "$2"
}
c=.properties.customize k=.properties.kiln

mutate "nothing" ""
# The steps themselves.
mutate "a line" one "${c}[1].inline[0] = \"echo eins > /etc/one\""
mutate "a line more" one "${c}[1].inline += [\"true\"]"
mutate "a line less" one "del(${c}[1].inline[1])"
mutate "a space" one "${c}[1].inline[1] += \" \""
mutate "an empty line" one "${c}[1].inline += [\"\"]"
mutate "a comment in a script" one "${c}[1].inline[0] += \" # so\""
mutate "lines swapped" one "${c}[1].inline |= reverse"
mutate "the last step" last "${c}[7].inline = [\"echo new > /etc/last\"]"
args=(--param word=other)
mutate "a parameter" last
args=(--param word=last)
mutate "a parameter with the same value" ""
args=()
mutate "a destination" late "${c}[6].destination = \"/etc/later\""
printf '#!/bin/sh -e\necho $GREETING > /etc/six\n' >"$D/six.sh"
mutate "lines moved to a file, byte for byte" "" "${c}[5] |= {type, name, scriptUri: \"file:six.sh\"}"
sum=$(sha256sum "$D/motd" | cut -d' ' -f1)
mutate "a checksum" "" "${c}[0].sha256Checksum = \"$sum\""
order="one two net script six late last generalize" mutate "the first step taken out" one "del(${c}[0])"
order="motd one two net script six late generalize" mutate "the last step taken out" generalize "del(${c}[7])"
order="motd one two net script six late last more generalize" mutate "a step added" more \
	"$c += [{type: \"Shell\", name: \"more\", inline: [\"true\"]}]"
order="motd one new two net script six late last generalize" mutate "a step put in" new \
	"$c |= .[:2] + [{type: \"Shell\", name: \"new\", inline: [\"true\"]}] + .[2:]"
order="motd two one net script six late last generalize" mutate "steps swapped" two "$c |= .[:1] + [.[2], .[1]] + .[3:]"
mutate "a kind" late "${c}[6] |= {type: \"Shell\", name, inline: [\"cp /etc/motd /etc/late\"]}"

# What they read.
printf 'Content\n' >"$D/motd.new" && touch -r "$D/motd" "$D/motd.new" && mv "$D/motd.new" "$D/motd"
mutate "a file's content, with its size and time" motd
files && chmod 755 "$D/motd"
mutate "a file made executable" motd
files
printf 'other\n' >"$D/motd2"
mutate "another file" late "${c}[6].sourceUri = \"file:motd2\""
cp "$D/motd" "$D/motd3"
mutate "a file of another name, the same bytes" "" "${c}[6].sourceUri = \"file:motd3\""
touch -d 2001-01-01 "$D/motd" "$D/x.sh"
mutate "times of files" ""
printf '#!/bin/sh\necho from the Script > /etc/by-script\n' >"$D/x.sh" && touch -d 2001-01-01 "$D/x.sh"
mutate "a script's content, with its size and time" script
sed -i '1s/.*/#!\/bin\/bash/' "$D/x.sh"
mutate "a script's interpreter" script
files && chmod 755 "$D/x.sh"
mutate "a script made executable" ""
files

# What surrounds them.
mutate "a variable's value" one "$k.environment.GREETING = \"bye\""
mutate "a variable more" one "$k.environment.B = \"\""
mutate "a variable less" one "del($k.environment.AAA)"
mutate "a fixed variable" one "$k.environment.LANG = \"de_DE.UTF-8\""
mutate "order of variables" "" "$k.environment |= (to_entries | reverse | from_entries)"
mutate "a host more that may be reached" net "$k.network.allow += [\"example.net:443\"]"
mutate "a host less" net "$k.network.allow = [\"apt\"]"
mutate "another step with a network" two "$k.network.steps += [\"two\"]"
mutate "a later step with a network" last "$k.network.steps += [\"last\"]"
mutate "no network any more" net "del($k.network)"
mutate "refresh" net "$k.refresh = \"2\""
mutate "no refresh" net "del($k.refresh)"
mutate "the archive is no input" net "$k.network.archive = \"ignore\""
mutate "the archive is one, said so" "" "$k.network.archive = \"follow\""
mutate "a bigger disk" motd '.properties.vmProfile.osDiskSizeGB = 5'
mutate "another source" motd ".properties.source.imageVersionId |= sub(\"[^/]+$\"; \"${versions[1]}\")"
mutate "the source by another name" "" '.properties.source.imageVersionId |= ascii_downcase'

# The package archive.
asked_before
release one "Sun, 22 Nov 2026 08:00:00 UTC"
mutate "an archive that was signed anew" ""
asked_before
release two "Sun, 22 Nov 2026 08:00:00 UTC"
mutate "an archive that changed" net
asked_before
kill "$www"
wait "$www"
mutate "an archive that cannot be reached: as it was last" net
serve "$port"
asked_before
release one "Sun, 22 Nov 2026 09:00:00 UTC"
mutate "an archive as it was" ""
asked_before
sed -i 's/^Description: .*/Description: forged/' "$T/www/debian/dists/bookworm/InRelease"
check "an archive whose signature is wrong is refused" status 3 \
	"$KILN" bake "$D/base.json" -g golden --name cached --explain
release one "Sun, 22 Nov 2026 09:00:00 UTC"

# What is asked for.
args=(--refresh six)
mutate "--refresh" six
args=(--from script)
mutate "--from" script
args=(--no-cache)
mutate "--no-cache" motd
args=()

# What is no input.
mutate "order of keys, white space" "" 'def r: if type == "object" then to_entries | reverse | map(.value |= r) | from_entries elif type == "array" then map(r) else . end; r'
jq --indent 7 . "$D/base.json" | sed 's/last/l\\u0061st/' >"$D/indented.json"
file=$D/indented.json mutate "indentation, escapes" ""
mutate "names of steps" "" "${c}[1].name = \"uno\" | ${c}[6].name = \"spaet\""
name=cached-too mutate "another template" ""
mutate "tags" "" '.tags = {a: "b"}'
mutate "the targets" "" '.properties.distribute[0].runOutputName = "else" | .properties.distribute[0].artifactTags = {a: "b"}'
mutate "validators" "" '.properties.validate = {inVMValidations: [{type: "Shell", name: "v", inline: ["true"]}]}'
mutate "where validators run" "" "$k.validateIn = \"container\""
mutate "error handling" "" '.properties.errorHandling = {onCustomizerError: "abort"}'
mutate "the time limit" "" '.properties.buildTimeoutInMinutes = 100'
mutate "the size of the build's machine" "" '.properties.vmProfile.vmSize = "Standard_D1_v2"'
mutate "optimizing" "" '.properties.optimize.vmBoot.state = "Enabled"'
with_archive "# a comment"
printf 'limits:\n  threads: 2 # of the store\n' >>"$config"
mutate "kiln.yaml" ""
with_archive ""
check "at least 40 mutations" test "$count" -ge 40

# Baked: what is told is what is done.
baked() { # NAME FIRST JQ [OPTIONS]
	local want
	want=$([ -z "$2" ] || sed -E "s/.*\\b($2\\b.*)/\\1/" <<<"$all")
	jq "$3" "$D/base.json" >"$D/m.json"
	check "baked: $1" bake "$D/m.json" "${@:4}"
	check "baked: $1: ${2:-nothing} ran" same "$want" "$(ran)"
}
baked "nothing changed" "" .
baked "the last step" last "${c}[7].inline = [\"echo new > /etc/last\"]"
check "what is left is estimated by what steps took before" jq -se '[.[] | select(.type == "estimate") | .secondsLeft]
	| length >= 2 and all(. > 0) and .[0] > .[-1]' "$T/bake.jsonl"
baked "back again" "" .
printf 'Content\n' >"$D/motd.new" && touch -r "$D/motd" "$D/motd.new" && mv "$D/motd.new" "$D/motd"
baked "a file" motd .
check "the disk has the new content" same Content "$("$KILN" shell cached -g golden -- cat /etc/late)"
files
asked_before
release three "Sun, 22 Nov 2026 10:00:00 UTC"
baked "an archive that changed" net .
asked_before
release one "Sun, 22 Nov 2026 11:00:00 UTC"
baked "an archive as it was" "" .
check "the disk is that of its own inputs" same content "$("$KILN" shell cached -g golden -- cat /etc/late)"

# What stays, and what goes: never what a recorded run refers to, nor what was used just now.
jq "${c}[7].inline = [\"echo collected $T > /etc/last\"]" "$D/base.json" >"$D/m.json"
check "a bake of another template" "$KILN" bake "$D/m.json" -g golden --name collected
entry() { "$KILN" cache list --json | jq -c --arg t "$1" '[.[] | select(.template == $t and .step == "last")][0]'; }
check "its last step is listed, held by its run" test "$(entry collected | jq .held)" = true
key=$(entry collected | jq -r .key)
run=$("$KILN" runs list -g golden --jq '[.[] | select(.properties.templateId | endswith("/collected"))][0].name')
gc() { "$KILN" cache gc --json "$@" | jq .removed; }
check "the run is deleted" "$KILN" runs delete "$run" -g golden --yes
check "nothing holds it any more" same false "$("$KILN" cache list --json | jq --arg k "$key" '.[] | select(.key == $k) | .held')"
check "what was used within the hour stays" same 0 "$(gc)"
sqlite3 "$KILN_DATA/meta.db" "UPDATE store_root SET used_us = 1, created_us = 1 WHERE kind = 'step'"
check "--dry-run says what would go" test "$(gc --dry-run)" -ge 1
check "and takes nothing" same 1 "$("$KILN" cache list --json | jq --arg k "$key" '[.[] | select(.key == $k)] | length')"
held=$("$KILN" cache list --json | jq '[.[] | select(.held)] | length')
check "an old one that nothing holds goes" test "$(gc)" -ge 1
check "it is gone" same 0 "$("$KILN" cache list --json | jq --arg k "$key" '[.[] | select(.key == $k)] | length')"
check "what runs refer to is there" same "$held" "$("$KILN" cache list --json | jq 'length')"
file=$D/base.json check "and is still a hit" runs ""
check "the one that is gone runs again" bake "$D/m.json" --explain
check "it alone" same "last generalize" "$(jq -r '[.steps[] | select(.state == "runs") | .name] | join(" ")' "$T/bake.jsonl")"
check "an entry is removed by its key" "$KILN" cache remove "$(entry cached | jq -r .key)"
check "an unknown one is told" status 1 "$KILN" cache remove 00
check "nothing is left" nothing_left
