#!/bin/bash
# Shared by the suites that talk to `kiln serve`: after lib.sh.
# shellcheck shell=bash disable=SC2034

# serve_start DIR [ARGS...]: starts a server and waits for its ready line. Sets SERVE (its pid), URL, CA,
# API (the Unix socket). Its standard error goes to $T/serve.err.
serve_start() {
	local dir=$1 line=
	shift
	mkfifo "$T/ready.$$" || return 1
	"$KILN" serve --data "$dir" --listen 127.0.0.1:0 "$@" >"$T/ready.$$" 2>>"$T/serve.err" &
	SERVE=$!
	read -r line <"$T/ready.$$"
	rm -f "$T/ready.$$"
	URL=${line#ready }
	CA=$dir/tls/ca.pem
	API=$(api_socket "$dir")
	case $line in "ready https://127.0.0.1:"*) ;; *)
		echo "ready line: '$line'"
		tail -n 5 "$T/serve.err"
		return 1
		;;
	esac
}
api_socket() { # DIR
	echo "/run/kiln/$(printf %s "$(realpath "$1")" | sha256sum | cut -c1-8)/api.sock"
}

# serve_stop [SIGNAL]: ends it; the server's exit status is the function's.
serve_stop() {
	kill "-${1:-TERM}" "$SERVE" 2>/dev/null
	wait "$SERVE"
}

# tls CURL-ARGS...: over HTTPS. api: over the Unix socket, as the local owner.
tls() {
	curl -sS --max-time 60 --cacert "$CA" "$@"
}
api() {
	local method=$1 path=$2
	shift 2
	curl -sS --max-time 60 --unix-socket "$API" -X "$method" -H 'Content-Type: application/json' \
		"$@" "http://localhost$path"
}

# settled PATH: waits until a resource's provisioningState is final, and prints it. The server says when
# to ask again.
settled() {
	local state
	while state=$(api GET "$1" | jq -r '.properties.provisioningState // .error.code'); do
		case $state in Creating | Updating | Deleting | Running) ;; *)
			echo "$state"
			return 0
			;;
		esac
	done
}

metric() { # NAME
	api GET /metrics | awk -v n="$1" '$1 == n { print $2 }'
}

# token DIR: an access token of the directory's administrator.
token() {
	local admin=$1/admin.json
	tls --data-urlencode "client_id=$(jq -r .clientId "$admin")" \
		--data-urlencode "client_secret=$(jq -r .clientSecret "$admin")" \
		--data-urlencode "grant_type=client_credentials" \
		--data-urlencode "scope=$URL//.default" "$URL/adfs/oauth2/token" | jq -r .access_token
}
