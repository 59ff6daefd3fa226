#!/bin/bash
# Shared by the suites that drive az: login once, then checks that read what a command printed.
# shellcheck shell=bash
# az_login: AZURE_CONFIG_DIR, a registered cloud and a login at the endpoint of admin.json.
az_login() {
	local admin="$KILN_DATA/admin.json" e
	e=$(jq -r .endpoint "$admin")
	export AZURE_CONFIG_DIR="$T/azure" AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_NO_COLOR=true \
		AZURE_CORE_ONLY_SHOW_ERRORS=true PYTHONWARNINGS=ignore
	REQUESTS_CA_BUNDLE=$(jq -r .caFile "$admin")
	export REQUESTS_CA_BUNDLE
	mkdir -p "$AZURE_CONFIG_DIR"
	jq -n --arg e "$e" '{endpoints: {resourceManager: "\($e)/", management: "\($e)/",
		activeDirectory: "\($e)/adfs", activeDirectoryResourceId: "\($e)/",
		activeDirectoryGraphResourceId: "\($e)/graph", microsoftGraphResourceId: "\($e)/msgraph/"}}' >"$T/cloud.json"
	az cloud register -n kiln --cloud-config "@$T/cloud.json" && az cloud set -n kiln &&
		az login --service-principal -u "$(jq -r .clientId "$admin")" -p "$(jq -r .clientSecret "$admin")" \
			--tenant "$(jq -r .tenantId "$admin")" -o json >"$T/login.json"
}

# Each lane of commands has its own copy of az's configuration: its token cache takes locks.
az_lane() { # NAME
	LANE="$T/lane-$1"
	mkdir -p "$LANE"
	cp -r "$AZURE_CONFIG_DIR" "$LANE/azure"
	export AZURE_CONFIG_DIR="$LANE/azure"
}

failed() { # NAME WHY
	printf '  | %s\n' "$2"
	{ tail -c 600 "$LANE/err"; jq -c . "$LANE/out" 2>/dev/null | head -c 800; echo; } | sed 's/^/  | /'
	echo "not ok $1"
}
# t NAME EXPRESSION ARGS...: az ARGS succeeds, and EXPRESSION is true of what it prints ($args: see jq).
t() {
	local name=$1 want=$2 got=0
	shift 2
	az "$@" -o json >"$LANE/out" 2>"$LANE/err" </dev/null || got=$?
	if [ $got != 0 ]; then
		failed "$name" "az $*: exit status $got"
	elif ! jq -e --arg sub "$SUB" --arg tenant "$TENANT" "$want" "$LANE/out" >/dev/null 2>"$LANE/jq"; then
		failed "$name" "az $*: not $want $(cat "$LANE/jq")"
	else
		echo "ok $name"
	fi
}
# silent NAME ARGS...: az ARGS succeeds and prints nothing.
silent() {
	local name=$1 got=0
	shift
	az "$@" -o json >"$LANE/out" 2>"$LANE/err" </dev/null || got=$?
	if [ $got != 0 ] || [ -s "$LANE/out" ]; then failed "$name" "az $*: exit status $got"; else echo "ok $name"; fi
}
# refused NAME PATTERN ARGS...: az ARGS fails and says PATTERN.
refused() {
	local name=$1 want=$2 got=0
	shift 2
	az "$@" -o json >"$LANE/out" 2>"$LANE/err" </dev/null || got=$?
	if [ $got = 0 ]; then
		failed "$name" "az $*: succeeded"
	elif ! grep -qE -- "$want" "$LANE/err"; then
		failed "$name" "az $*: says nothing of '$want'"
	else
		echo "ok $name"
	fi
}
# got EXPRESSION: of what the last command printed.
got() {
	jq -r "$1" "$LANE/out"
}
