#!/bin/bash
# Login from outside: secrets, certificates, an outside issuer over HTTPS, users; with curl and with az.
. "$SRC/tests/integration/lib.sh"
. "$SRC/tests/integration/serve_lib.sh"
D=$T/data
ID=/providers/Kiln.Identity
V=2026-11-01
AUD=api://AzureADTokenExchange

rest() { # METHOD PATH [BODY]
	if [ $# = 3 ]; then
		printf %s "$3" | "$KILN" --data "$D" rest "$1" "$2" --api-version $V --body -
	else
		"$KILN" --data "$D" rest "$1" "$2" --api-version $V
	fi
}
form() { # CURL-ARGS...: what the token endpoint answers
	tls --data-urlencode "scope=$URL//.default" "$@" "$URL/adfs/oauth2/token"
}
assertion() { # CLIENT TOKEN
	form --data-urlencode "client_id=$1" --data-urlencode "client_assertion=$2" -d grant_type=client_credentials \
		-d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer
}
secret() { # CLIENT SECRET
	form -d "client_id=$1" -d "client_secret=$2" -d grant_type=client_credentials
}
access() { # TOKEN: the status of a request with it
	tls -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "$URL/subscriptions?api-version=2022-12-01"
}
issuer() { # PATH
	curl -sS --max-time 30 --cacert "$T/issuer.crt" "$ISSUER/$1"
}

setup() {
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/issuer.key" -out "$T/issuer.crt" -days 2 \
		-subj /CN=issuer -addext subjectAltName=IP:127.0.0.1 2>/dev/null || return 1
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/ci.key" -out "$T/ci.crt" -days 2 -subj /CN=ci 2>/dev/null
	cat "$T/ci.key" "$T/ci.crt" >"$T/ci.pem"
	mkfifo "$T/issuer.ready"
	node "$SRC/tests/integration/login_issuer.mjs" "$T/issuer.crt" "$T/issuer.key" >"$T/issuer.ready" &
	ISSUER_PID=$!
	read -r ISSUER <"$T/issuer.ready"
	mkdir -p "$D"
	printf 'fetch:\n  allowPrivate: true\n  caFile: %s\n' "$T/issuer.crt" >"$D/kiln.yaml"
	serve_start "$D" --no-worker || return 1
	TENANT=$(jq -r .tenantId "$D/admin.json")
	rest PUT $ID/servicePrincipals/ci '{}' >"$T/ci.json" &&
		jq -Rs '{key: .}' "$T/ci.crt" >"$T/add" && rest POST $ID/servicePrincipals/ci/addKey "$(cat "$T/add")" &&
		rest PUT $ID/users/alice '{}' >"$T/alice.json" &&
		rest POST $ID/users/alice/setPassword '{"password": "correct horse 1"}'
	CI=$(jq -r .properties.appId "$T/ci.json")
	for who in ci alice; do
		"$KILN" --data "$D" rest PUT "/subscriptions/$(jq -r .subscriptionId "$D/admin.json")/providers/Microsoft.Authorization/roleAssignments/$(cat /proc/sys/kernel/random/uuid)" \
			--api-version 2022-04-01 --body - <<<"{\"properties\": {\"principalId\": \"$(jq -r .properties.objectId "$T/$who.json")\",
			\"roleDefinitionId\": \"/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7\"}}" || return 1
	done
}

# Another process removes the secret; the server, which saw the token before, stops taking it.
revoked() {
	local made token i
	made=$(rest POST $ID/servicePrincipals/ci/addPassword '{}') || return 1
	token=$(secret "$CI" "$(jq -r .secretText <<<"$made")" | jq -r .access_token)
	same 200 "$(access "$token")" || return 1
	rest POST $ID/servicePrincipals/ci/removePassword "{\"keyId\": \"$(jq -r .keyId <<<"$made")\"}" || return 1
	for ((i = 0; i < 200; i++)); do
		[ "$(access "$token")" = 401 ] && return 0
	done
	return 1
}

# The server that removes it stops taking its tokens with the answer.
revoked_at_once() {
	local made token
	made=$(tls -X POST -H "Authorization: Bearer $ADMIN" "$URL$ID/servicePrincipals/ci/addPassword?api-version=$V")
	token=$(secret "$CI" "$(jq -r .secretText <<<"$made")" | jq -r .access_token)
	same 200 "$(access "$token")" || return 1
	tls -X POST -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' \
		-d "{\"keyId\": \"$(jq -r .keyId <<<"$made")\"}" "$URL$ID/servicePrincipals/ci/removePassword?api-version=$V" || return 1
	same 401 "$(access "$token")"
}

trust() {
	rest PUT $ID/servicePrincipals/fed "{\"properties\": {\"federatedCredentials\": [
		{\"name\": \"realm\", \"issuer\": \"$ISSUER/realm\", \"subject\": \"repo:o/r\", \"audiences\": [\"$AUD\"]},
		{\"name\": \"slow\", \"issuer\": \"$ISSUER/slow\", \"subject\": \"repo:o/r\", \"audiences\": [\"$AUD\"]}]}}" >"$T/fed.json"
	FED=$(jq -r .properties.appId "$T/fed.json")
}
outside_issuer() {
	local token
	trust && token=$(issuer "realm/token?sub=repo:o/r&aud=$AUD") || return 1
	same 200 "$(access "$(assertion "$FED" "$token" | jq -r .access_token)")" &&
		same 700213 "$(assertion "$FED" "$(issuer "realm/token?sub=repo:o/x&aud=$AUD")" | jq '.error_codes[0]')"
}
# The issuer's new key is asked for, at most every few seconds.
issuer_rotates() {
	local token answer i
	issuer realm/rotate >/dev/null && token=$(issuer "realm/token?sub=repo:o/r&aud=$AUD") || return 1
	for ((i = 0; i < 600; i++)); do
		answer=$(assertion "$FED" "$token")
		jq -e .access_token <<<"$answer" >/dev/null && return 0
		same 700027 "$(jq '.error_codes[0]' <<<"$answer")" || return 1
	done
	return 1
}
# Requests that wait for an issuer hold up nobody else.
slow_issuer() {
	local token pids=() i
	token=$(issuer "slow/token?sub=repo:o/r&aud=$AUD")
	for ((i = 0; i < 4; i++)); do
		assertion "$FED" "$token" >"$T/slow.$i" &
		pids+=($!)
	done
	until [ "$(issuer slow/waiting)" -ge 1 ]; do :; done
	same 200 "$(access "$ADMIN")" && same 401 "$(access x)" || return 1
	issuer slow/release
	wait "${pids[@]}"
}

# Guessers from one address do not stop those who have a token.
guessing() {
	local i pids=() codes
	for ((i = 0; i < 24; i++)); do
		form -o /dev/null -w '%{http_code}\n' -d grant_type=password -d "username=nobody$i" -d password=x >>"$T/guess" &
		pids+=($!)
	done
	for ((i = 0; i < 20; i++)); do
		same 200 "$(access "$ADMIN")" || return 1
	done
	wait "${pids[@]}"
	codes=$(sort "$T/guess" | uniq -c | tr -s ' \n' ' ')
	echo "$codes"
	grep -q '^400$' "$T/guess" && ! grep -qv -e '^400$' -e '^429$' "$T/guess"
}

no_secrets() {
	! grep -rFq -e 'correct horse 1' "$D/log" "$T/serve.err" "$D/meta.db" "$D/meta.db-wal" &&
		! grep -rFq "$(jq -r .clientSecret "$D/admin.json")" "$D/log" "$T/serve.err" "$D/meta.db" "$D/meta.db-wal"
}

# ---- az ---------------------------------------------------------------------------------------------

az_setup() {
	export AZURE_CONFIG_DIR=$T/az REQUESTS_CA_BUNDLE=$CA AZURE_CORE_COLLECT_TELEMETRY=no
	mkdir -p "$T/az"
	az cloud register -n kiln --cloud-config "{\"endpoints\": {\"resourceManager\": \"$URL/\", \"management\": \"$URL/\",
		\"activeDirectory\": \"$URL/adfs\", \"activeDirectoryResourceId\": \"$URL/\",
		\"activeDirectoryGraphResourceId\": \"$URL/\", \"microsoftGraphResourceId\": \"$URL/msgraph/\"}}" && az cloud set -n kiln
}
az_secret() {
	az login --service-principal -u "$(jq -r .clientId "$D/admin.json")" -p "$(jq -r .clientSecret "$D/admin.json")" \
		--tenant "$TENANT" && az group list && az ad sp list --all -o tsv --query '[].displayName' | grep -q '^ci$'
}
az_wrong() {
	! az login --service-principal -u "$CI" -p wrong --tenant "$TENANT" 2>"$T/az.err" && grep -q AADSTS7000215 "$T/az.err"
}
az_certificate() {
	az login --service-principal -u "$CI" -p "$T/ci.pem" --tenant "$TENANT" && az group list &&
		status 1 az group create -n x -l eastus
}
az_federated() {
	az login --service-principal -u "$FED" --federated-token "$(issuer "realm/token?sub=repo:o/r&aud=$AUD")" \
		--tenant "$TENANT" --allow-no-subscriptions
}
az_user() {
	az login -u alice -p 'correct horse 1' && az group list && az account get-access-token --resource "$URL/msgraph/"
}

check "a server and an issuer" setup
ADMIN=$(token "$D")
check "a removed secret ends its tokens" revoked
check "at once by the server itself" revoked_at_once
check "an outside issuer over HTTPS" outside_issuer
check "its new key is found" issuer_rotates
check "a slow issuer" slow_issuer
check "guessing" guessing
check "no secret is left in clear" no_secrets
if command -v az >/dev/null; then
	check "az: a cloud" az_setup
	check "az: secret, and Graph" az_secret
	check "az: a wrong secret" az_wrong
	check "az: certificate" az_certificate
	check "az: an outside token" az_federated
	check "az: user and password" az_user
else
	echo "skip az: not installed (Debian's azure-cli)"
fi
kill "$ISSUER_PID"
serve_stop TERM
check "nothing is left" nothing_left
