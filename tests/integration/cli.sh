#!/bin/bash
# The command line as people and scripts use it: exit statuses, what goes to which stream, errors,
# completion. Needs no bake.
set -u
: "${KILN:?path of the program}" "${SRC:?root of the source tree}"
own=$(mktemp -d /tmp/kiln-cli.XXXXXX)
export KILN_DATA="$own/data"
cleanup() {
	local run
	run=$("$KILN" init --json 2>/dev/null | jq -r .runDirectory 2>/dev/null)
	case $run in /run/kiln/* | */kiln/*) rm -rf --one-file-system "$run" ;; esac
	rm -rf --one-file-system "$own"
}
trap cleanup EXIT
out="$own/out" err="$own/err"
passed=0 failed=0

ok() { passed=$((passed + 1)); echo "ok $1"; }
not_ok() {
	failed=$((failed + 1))
	echo "not ok $1: ${2:-}"
	sed 's/^/    out: /' "$out" | head -n 5
	sed 's/^/    err: /' "$err" | head -n 5
}
check() { # NAME STATUS COMMAND...: the exit status, and what was printed to $out and $err
	local name=$1 want=$2 got=0
	shift 2
	"$@" >"$out" 2>"$err" </dev/null || got=$?
	if [ "$got" = "$want" ]; then ok "$name"; else not_ok "$name" "status $got, expected $want"; fi
}
says() { # NAME FILE PATTERN: about the last command
	if grep -qE -- "$3" "$2"; then ok "$1"; else not_ok "$1" "no '$3'"; fi
}
silent() { # NAME FILE
	if [ ! -s "$2" ]; then ok "$1"; else not_ok "$1" "not empty"; fi
}
json() { # NAME JQ-EXPRESSION: true of standard output, which is one document
	if jq -e "$2" "$out" >/dev/null 2>&1; then ok "$1"; else not_ok "$1" "not $2"; fi
}

# init
check init 0 "$KILN" init
says init-made "$out" '^made '
check init-again 0 "$KILN" init --json
json init-kept '.created == false and (.regions | length) == 2 and .regions[0].name == "eastus"'
silent init-json-stderr "$err"
if [ "$(stat -c %a "$KILN_DATA/admin.json")" = 600 ]; then ok admin-mode; else not_ok admin-mode; fi
check other-directory 0 "$KILN" --data "$own/second" init
says other-directory-made "$out" "^made $own/second"
rm -rf "$("$KILN" init --data "$own/second" --json | jq -r .runDirectory)"

# Help and usage
check no-command 2 "$KILN"
silent no-command-stdout "$out"
check help 0 "$KILN" --help
says help-lists "$out" '^  rest '
check help-command 0 "$KILN" help rest
says help-example "$out" 'kiln rest GET'
check version 0 "$KILN" --version
says version-number "$out" '^kiln [0-9]+\.[0-9]+\.[0-9]+$'
check unknown-command 2 "$KILN" rset
says unknown-command-hint "$err" "did you mean 'rest'"
check unknown-option 2 "$KILN" rest GET /x --wiat
says unknown-option-hint "$err" "rest: unknown option '--wiat'.*'--wait'"
if [ "$(wc -l <"$err")" = 1 ]; then ok one-line; else not_ok one-line; fi
check usage-json 2 "$KILN" rest --json
json usage-json-document '.error.code == "UsageError"'
silent usage-json-stderr "$err"
check bad-method 2 "$KILN" rest FETCH /subscriptions
check bad-target 2 "$KILN" rest GET subscriptions

# Requests
g=/resourceGroups/cli
body="$own/body.json"
echo '{"location": "East US", "tags": {"a": "b"}}' >"$body"
check put-group 0 "$KILN" rest PUT $g --body "$body"
json put-group-body '.location == "eastus" and .tags.a == "b"'
check get-group 0 "$KILN" rest GET "$g?api-version=2021-04-01"
sub=$(jq -r .subscriptionId "$KILN_DATA/admin.json")
check placeholder 0 "$KILN" rest GET '/subscriptions/{subscription}/resourcegroups/CLI'
json placeholder-name '.name == "cli"'
check url 0 "$KILN" rest GET "https://127.0.0.1:8443/subscriptions/$sub/locations"
json url-list '[.value[].name] == ["eastus", "westeurope"]'
gal=$g/providers/Microsoft.Compute/galleries/gal
check put-waits 0 "$KILN" rest PUT $gal --api-version 2023-07-03 --wait --body "$body"
json put-final '.properties.provisioningState == "Succeeded"'
check empty-body 3 "$KILN" rest PUT $gal/images/def --api-version 2023-07-03 --body /dev/null
json empty-body-error '.error.code | length > 0'
exit_of_stdin=0
printf '%s' '{"location":"eastus","properties":{"osType":"Linux","osState":"Generalized",
	"identifier":{"publisher":"p","offer":"o","sku":"s"}}}' |
	"$KILN" rest PUT $gal/images/def --api-version 2023-07-03 --body - >"$out" 2>"$err" || exit_of_stdin=$?
if [ $exit_of_stdin = 0 ]; then ok stdin-body; else not_ok stdin-body "status $exit_of_stdin"; fi
json first-answer '.properties.provisioningState == "Creating"'
check finished-anyway 0 "$KILN" rest GET $gal/images/def --api-version 2023-07-03
json finished-state '.properties.provisioningState == "Succeeded"'
check queued 0 "$KILN" rest PATCH $gal --api-version 2023-07-03 --no-wait --body "$body"
says queued-note "$err" 'queued'
check queued-state 0 "$KILN" rest GET $gal --api-version 2023-07-03
json queued-updating '.properties.provisioningState == "Updating"'
check next-takes-over 0 "$KILN" rest PATCH $gal --api-version 2023-07-03 --wait --body "$body"
json taken-over '.properties.provisioningState == "Succeeded" and .tags.a == "b"'

# Exit statuses
check not-found 1 "$KILN" rest GET /resourceGroups/none
json not-found-body '.error.code == "ResourceGroupNotFound"'
says not-found-line "$err" '^kiln: ResourceGroupNotFound: '
check not-found-json 1 "$KILN" rest GET /resourceGroups/none --json
silent not-found-json-stderr "$err"
echo '{"location": "moon"}' >"$body"
check refused 3 "$KILN" rest PUT /resourceGroups/x --body "$body"
json refused-target '.error.target == "location"'
check conflict 3 "$KILN" rest DELETE $gal --api-version 2023-07-03
echo '{"location": ' >"$body"
check broken-json 3 "$KILN" rest PUT /resourceGroups/x --body "$body"
check missing-file 1 "$KILN" rest PUT /resourceGroups/x --body "$own/none"
echo '{"location": "eastus"}' >"$body"
check create-only 3 "$KILN" rest PUT $g --if-none-match '*' --body "$body"
check version-list 0 "$KILN" version list gal/def
says version-list-head "$out" '^VERSION +STATE'
check version-list-json 0 "$KILN" version list gal/def --json
json version-list-empty '. == []'
check version-none 1 "$KILN" version show gal/def/1.0.0
check version-words 3 "$KILN" version show 1.0.0
says version-words-hint "$err" 'golden/debian-12/1.0.0'
check latest-none 1 "$KILN" version show gal/def/latest
check template-list 0 "$KILN" template list
check template-none 1 "$KILN" template show none

# Resource commands
check noun-group 0 "$KILN" group create verbs -l eastus --tag owner=me
check noun-gallery 0 "$KILN" gallery create words -g verbs --description 'two words' --json
json noun-gallery-body '.properties.description == "two words" and .location == "eastus"'
check noun-definition 0 "$KILN" definition create words/deb --publisher p --offer o --sku s
says noun-lines "$out" '^generation +V2$'
check noun-definition-missing 2 "$KILN" definition create words/deb2 --publisher p --offer o
says noun-missing "$err" '--sku NAME is missing'
check noun-no-group 2 "$KILN" gallery create homeless
check noun-list 0 "$KILN" definition list words
says noun-table "$out" '^words/deb +Linux +Generalized +V2 +p +o +s$'
check noun-list-all 0 "$KILN" definition --json
json noun-list-all-of-both '[.[].name] | sort == ["deb", "def"]'
check noun-versions-all 0 "$KILN" version list --json
json noun-versions-none '. == []'
check noun-yaml 0 "$KILN" definition show words/deb -o yaml
says noun-yaml-text "$out" '^  osType: Linux$'
check noun-tsv 0 "$KILN" gallery list -o tsv
says noun-tsv-row "$out" '^words	verbs	eastus	Succeeded'
check noun-jq 0 "$KILN" gallery list -g verbs --jq '.[] | .name, (.tags // {} | length)'
if [ "$(cat "$out")" = $'words\n0' ]; then ok noun-jq-lines; else not_ok noun-jq-lines; fi
check noun-jq-bad 3 "$KILN" gallery list --jq '.['
check noun-format 2 "$KILN" gallery list -o xml
check noun-disk 0 "$KILN" disk create d1 -g verbs --from Empty --size-gb 1 --json
json noun-disk-state '.properties.diskState == "Unattached" and .properties.diskSizeGB == 1'
check noun-disk-copy 0 "$KILN" snapshot create s1 -g verbs --from Copy \
	--source /resourceGroups/verbs/providers/Microsoft.Compute/disks/d1
check noun-no-wait 0 "$KILN" gallery create later -g verbs --no-wait
check operations 0 "$KILN" operation list --jq '[.[] | select(.properties.status == "InProgress")][0].name'
queued=$(cat "$out")
check operation-cancel 0 "$KILN" operation cancel "$queued"
check operation-ends 0 "$KILN" gallery update later --tag a=b
check operation-show 0 "$KILN" operation show "$queued" --json
json operation-cancelled '.properties.status == "Canceled"'
check operation-ended 3 "$KILN" operation cancel "$queued"
check operation-none 1 "$KILN" operation show none
check noun-update 0 "$KILN" gallery update words --set properties.description=other --tag a=b --json
json noun-updated '.properties.description == "other" and .tags.a == "b"'
check noun-nothing 2 "$KILN" gallery update words
check noun-dry 0 "$KILN" gallery delete words --dry-run
if [ "$(wc -l <"$out")" = 2 ]; then ok noun-dry-below; else not_ok noun-dry-below; fi
check noun-ask 2 "$KILN" definition delete words/deb
check noun-delete 0 "$KILN" definition delete words/deb --yes
check noun-gone 1 "$KILN" definition show words/deb
check noun-group-delete 0 "$KILN" group delete verbs --yes

# Contexts
export XDG_CONFIG_HOME="$own/config"
check context-none 0 "$KILN" context list --json
json context-empty '. == []'
check context-unknown 1 env -u KILN_DATA "$KILN" group list --context nowhere
says context-hint "$err" 'kiln login'
check login-usage 2 "$KILN" login
check login-no-server 1 "$KILN" login https://127.0.0.1:1 -u me --secret-file "$body"
check login-not-kept 0 "$KILN" context list --json
json login-nothing-kept '. == []'
check local-only 1 "$KILN" shell x --context nowhere

# Identities, roles, locks
check principal-create 0 "$KILN" principal create ci
check principal-secret 0 "$KILN" principal add-secret ci --jq .secretText
cp "$out" "$own/secret"
if [ "$(wc -c <"$own/secret")" -gt 30 ]; then ok principal-secret-text; else not_ok principal-secret-text; fi
check principal-show 0 "$KILN" principal show ci --jq '.properties | has("passwordHash"), .appId'
client=$(tail -n 1 "$out")
says principal-no-hash "$out" '^false$'
check roles-group 0 "$KILN" group create shared -l eastus
check role-list 0 "$KILN" role list -o tsv
says role-reader "$out" '^Reader'
check role-assign 0 "$KILN" role assign reader --to ci --scope /resourceGroups/shared
check role-assign-twice 3 "$KILN" role assign reader --to ci --scope /resourceGroups/shared
check role-unknown 1 "$KILN" role assign nonsense --to ci
check role-nobody 1 "$KILN" role assign reader --to nobody
check team-create 0 "$KILN" team create builders
check team-add 0 "$KILN" team add builders -m "$("$KILN" principal show ci --jq .properties.objectId)"
check user-create 0 "$KILN" user create ada
echo 'correct horse battery staple' >"$own/password"
check user-password 0 "$KILN" user set-password ada --password-file "$own/password"
check lock-create 0 "$KILN" lock create keep --level CanNotDelete --scope /resourceGroups/shared
check lock-holds 3 "$KILN" group delete shared --yes
says lock-code "$err" '^kiln: ScopeLocked'
check lock-delete 0 "$KILN" lock delete keep --scope /resourceGroups/shared --yes
check locations 0 "$KILN" location list --jq '.[].name'

# The same commands against a server: as its host's owner by the socket, and logged in over HTTPS.
"$KILN" serve --listen 127.0.0.1:0 >"$own/serve.out" 2>"$own/serve.err" &
server=$!
for ((i = 0; i < 600; i++)); do
	grep -q '^ready ' "$own/serve.out" && break
	kill -0 $server 2>/dev/null || break
	read -rt 0.1 <> <(:) || :
done
check serve-ready 0 grep '^ready https://127.0.0.1:' "$own/serve.out"
check socket-list 0 "$KILN" group list --jq '.[].name'
says socket-group "$out" '^shared$'
check socket-create 0 "$KILN" gallery create byserver -g shared --json
json socket-created '.properties.provisioningState == "Succeeded"'
remote() { env -u KILN_DATA "$KILN" "$@"; }
check login-admin 0 remote login --admin-file "$KILN_DATA/admin.json" --context admin
check remote-list 0 remote gallery list -g shared --jq '.[].name'
says remote-gallery "$out" '^byserver$'
check login-ci 0 remote login "$(jq -r .endpoint "$KILN_DATA/admin.json")" -u "$client" \
	--tenant "$(jq -r .tenantId "$KILN_DATA/admin.json")" --ca-file "$(jq -r .caFile "$KILN_DATA/admin.json")" \
	--secret-file "$own/secret" --context ci
check remote-reader 0 remote gallery show byserver -g shared
check remote-denied 3 remote gallery update byserver -g shared --tag a=b
says remote-denied-code "$err" '^kiln: AuthorizationFailed'
check remote-context 0 remote gallery update byserver -g shared --tag a=b --context admin --json
json remote-updated '.tags.a == "b"'
check remote-rest 0 remote rest GET /subscriptions
check contexts-hide-secrets 0 remote context list --json
if grep -qF -f "$own/secret" "$out"; then not_ok contexts-no-secret; else ok contexts-no-secret; fi
if [ "$(stat -c %a "$XDG_CONFIG_HOME/kiln/contexts.json")" = 600 ]; then ok contexts-mode; else not_ok contexts-mode; fi
check principal-disable 0 remote principal update ci --set properties.disabled=true --context admin
for ((i = 0; i < 100; i++)); do # within a second
	remote gallery list >/dev/null 2>&1 || break
	read -rt 0.1 <> <(:) || :
done
check remote-disabled 3 remote gallery list
check logout 0 remote logout ci
kill $server
wait $server
if grep -qF -f "$own/secret" "$own/serve.err" "$own/serve.out"; then not_ok serve-no-secret; else ok serve-no-secret; fi

# A full disk must not look like success.
if [ -w /dev/full ]; then
	status=0
	"$KILN" --help >/dev/full 2>"$err" || status=$?
	if [ $status = 1 ]; then ok full-disk; else not_ok full-disk "status $status"; fi
else
	echo "skip full-disk: no /dev/full"
fi

# A bad configuration is named by line, and a newer directory is left alone.
mkdir "$own/bad"
printf 'regions:\n  - name: a\n    urll: /x\n' >"$own/bad/kiln.yaml"
check bad-config 1 "$KILN" init --data "$own/bad"
says bad-config-line "$err" 'kiln.yaml:3: unknown key .urll.'
rm "$own/bad/kiln.yaml"
echo 99 >"$own/bad/format"
check newer-format 1 "$KILN" init --data "$own/bad"
says newer-format-says "$err" 'newer than this program'

# The manual and the completion
if command -v mandoc >/dev/null; then
	check man-lint 0 mandoc -Tlint -W warning "$SRC/man/kiln.1"
	"$KILN" help-man >"$own/kiln-resources.1"
	check man-resources-lint 0 mandoc -Tlint -W warning "$own/kiln-resources.1"
else
	echo "skip man-lint: mandoc is not installed"
fi
check bash-completion 0 "$KILN" completion bash
cp "$out" "$own/completion.bash"
complete_words() { # WORDS...: what completes the last one
	bash -c 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kiln; printf "%s\n" "${COMPREPLY[@]}"' \
		_ "$own/completion.bash" kiln "$@" >"$out" 2>"$err"
}
complete_words re
says completes-command "$out" '^rest$'
complete_words version sh
says completes-second-word "$out" '^show$'
complete_words rest --w
says completes-option "$out" '^--wait$'
check zsh-completion 0 "$KILN" completion zsh
says zsh-completion-head "$out" '^#compdef kiln'
check fish-completion 2 "$KILN" completion fish

echo "$passed passed, $failed failed"
[ $failed = 0 ]
