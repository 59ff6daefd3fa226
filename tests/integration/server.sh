#!/bin/bash
# kiln serve from outside: TLS, HTTP, headers, metrics, the access log, stopping and being killed.
. "$SRC/tests/integration/lib.sh"
. "$SRC/tests/integration/serve_lib.sh"
D=$T/data
V=api-version=2021-04-01
GV=api-version=2023-07-03

ready_line() {
	serve_start "$D" || return 1
	same "$URL" "$(jq -r .endpoint "$D/admin.json")" && same 600 "$(stat -c %a "$D/admin.json")"
}

certificates() {
	openssl verify -CAfile "$CA" "$D/tls/server.pem" &&
		same 600 "$(stat -c %a "$D/tls/server.key")" &&
		same 200 "$(tls -o /dev/null -w '%{http_code}' "$URL/healthz")" &&
		same 200 "$(tls -o /dev/null -w '%{http_code}' "${URL/127.0.0.1/localhost}/healthz")" &&
		status 60 curl -sS "$URL/healthz"
}

# s_client says in its output what was agreed; with TLS 1.0 and 1.1 the test itself must be willing.
agreed() { # OPTIONS...
	openssl s_client -connect "${URL#https://}" -CAfile "$CA" -verify_return_error "$@" </dev/null 2>&1 |
		sed -n 's/^New, \(.*\), Cipher is \(.*\)$/\1 \2/p' | head -n 1
}
tls_versions() {
	same "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384" "$(agreed -tls1_2)" &&
		same "TLSv1.3 TLS_AES_256_GCM_SHA384" "$(agreed -tls1_3)" &&
		same "(NONE) (NONE)" "$(agreed -tls1_1 -cipher 'DEFAULT@SECLEVEL=0')" &&
		same "(NONE) (NONE)" "$(agreed -tls1_2 -cipher 'ECDHE-ECDSA-AES128-SHA:AES128-SHA256')"
}

# A certificate that was renewed is presented without a restart; one that cannot be used is not.
presented() {
	openssl s_client -connect "${URL#https://}" -CAfile "$CA" -verify_return_error </dev/null 2>/dev/null |
		openssl x509 -noout -fingerprint -sha256
}
renewal() {
	local was new
	was=$(presented) && [ -n "$was" ] || return 1
	openssl req -x509 -CA "$CA" -CAkey "$D/tls/ca.key" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-subj /CN=renewed -addext subjectAltName=IP:127.0.0.1,DNS:localhost -addext basicConstraints=critical,CA:FALSE \
		-keyout "$T/new.key" -out "$T/new.pem" 2>/dev/null || return 1
	new=$(openssl x509 -noout -fingerprint -sha256 -in "$T/new.pem")
	cp "$D/tls/server.key" "$T/old.key"
	cp "$D/tls/server.pem" "$T/old.pem"
	echo broken >"$D/tls/server.pem"
	kill -HUP "$SERVE"
	until grep -q 'event=server.certificate' "$T/serve.err"; do kill -0 "$SERVE" || return 1; sleep 0.02; done
	same "$was" "$(presented)" || return 1
	cp "$T/new.key" "$D/tls/server.key"
	cp "$T/new.pem" "$D/tls/server.pem"
	kill -HUP "$SERVE"
	until [ "$(presented)" = "$new" ]; do kill -0 "$SERVE" || return 1; sleep 0.02; done # the suite's time is its limit
	same 200 "$(tls -o /dev/null -w '%{http_code}' "${URL/127.0.0.1/localhost}/healthz")" || return 1
	cp "$T/old.key" "$D/tls/server.key"
	cp "$T/old.pem" "$D/tls/server.pem"
	kill -HUP "$SERVE"
	until [ "$(presented)" = "$was" ]; do kill -0 "$SERVE" || return 1; sleep 0.02; done
}

head_request() {
	tls -I "$URL/healthz" >"$T/head" && grep -q '^HTTP/1.1 200' "$T/head" && grep -qi '^content-length: 15' "$T/head"
}

keep_alive() {
	same "1 0 0" "$(tls -w '%{num_connects} ' -o /dev/null -o /dev/null -o /dev/null \
		"$URL/healthz" "$URL/healthz" "$URL/healthz" | sed 's/ $//')"
}

# field NAME: a response header from $T/head.
field() {
	tr -d '\r' <"$T/head" | sed -n "s/^$1: //Ip"
}
headers() {
	tls -D "$T/head" -o "$T/body" -H 'x-ms-correlation-request-id: corr-1' -H 'x-ms-client-request-id: client-1' \
		-H 'x-ms-return-client-request-id: true' "$URL/subscriptions?api-version=2020-01-01"
	grep -q '^HTTP/1.1 401' "$T/head" && same AuthenticationFailed "$(jq -r .error.code "$T/body")" &&
		same AuthenticationFailed "$(field x-ms-error-code)" && same corr-1 "$(field x-ms-correlation-request-id)" &&
		same client-1 "$(field x-ms-client-request-id)" && same nosniff "$(field x-content-type-options)" &&
		field www-authenticate | grep -q "^Bearer authorization_uri=\"$URL/" &&
		field strict-transport-security | grep -q '^max-age=' && field x-ms-request-id | grep -Eq '^[0-9a-f-]{36}$' &&
		field x-ms-routing-request-id | grep -Eq '^KILN:[0-9]{8}T[0-9]{6}Z:[0-9a-f-]{36}$'
}
no_injection() {
	tls -D "$T/head" -o /dev/null -H $'x-ms-correlation-request-id: a b"<x>' "$URL/healthz"
	field x-ms-correlation-request-id | grep -Eq '^[0-9a-f-]{36}$'
}

local_owner() {
	same 200 "$(api GET "/subscriptions?$V" -o /dev/null -w '%{http_code}')" &&
		same 401 "$(setpriv --reuid 65534 --clear-groups curl -sS -o /dev/null -w '%{http_code}' \
			--unix-socket "$API" "http://localhost/subscriptions?$V")"
}

SUB=
group() {
	SUB=/subscriptions/$(jq -r .subscriptionId "$D/admin.json")
	api PUT "$SUB/resourceGroups/rg?$V" -d '{"location":"eastus"}' >"$T/body" && same rg "$(jq -r .name "$T/body")"
}
gallery_put() { # NAME
	api PUT "$SUB/resourceGroups/rg/providers/Microsoft.Compute/galleries/$1?$GV" -D "$T/head" \
		-d '{"location":"eastus"}'
}
operation() {
	gallery_put one >"$T/body" && grep -q '^HTTP/1.1 20[01]' "$T/head" && same 1 "$(field retry-after)" &&
		field azure-asyncoperation | grep -q "^$URL/subscriptions/" &&
		same Succeeded "$(settled "$SUB/resourceGroups/rg/providers/Microsoft.Compute/galleries/one?$GV")"
}

secrets_stay_out() {
	tls -o /dev/null "$URL/subscriptions?$V&sig=SECRET1" -H 'Authorization: Bearer SECRET2'
	tls -o /dev/null -d 'client_secret=SECRET3' "$URL/adfs/oauth2/token"
	until grep -q adfs/oauth2/token "$D/log/access.log"; do sleep 0.02; done # lines leave together
	! grep -E "SECRET[123]|$(jq -r .clientSecret "$D/admin.json")" "$D/log/access.log" "$T/serve.err" &&
		jq -es 'map(has("time") and has("status") and has("requestId") and has("path")) | all' "$D/log/access.log" >/dev/null &&
		jq -es 'map(select(.query == "api-version,sig" and .status == 401)) | length == 1' "$D/log/access.log" >/dev/null &&
		same 600 "$(stat -c %a "$D/log/access.log")"
}

prometheus() {
	api GET /metrics >"$T/metrics"
	grep -Eq '^kiln_requests_total\{method="PUT",status="2xx",type="Microsoft.Compute/galleries"\} 1$' "$T/metrics" &&
		grep -q '^kiln_request_seconds_bucket{method="PUT",le="+Inf"} 2$' "$T/metrics" &&
		grep -q '^kiln_jobs_queued 0$' "$T/metrics" && grep -q '^kiln_operations_started_total 1$' "$T/metrics" &&
		grep -Eq '^kiln_connections [0-9]+$' "$T/metrics" &&
		same 200 "$(tls -o /dev/null -w '%{http_code}' "$URL/metrics")"
}

one_server() {
	status 1 "$KILN" serve --data "$D" --listen 127.0.0.1:0 2>"$T/second" && grep -q 'another process answers' "$T/second"
}

# The command line goes through the server while there is one.
graceful() {
	serve_stop TERM || { echo "exit status $?"; tail -n 5 "$T/serve.err"; return 1; }
	[ ! -S "$API" ] || ! api GET /healthz 2>/dev/null
}

# A request that was begun when the signal comes is still answered. The server asks for the body
# ("100 Continue"), is told to stop, refuses others, and then gets the body.
finishes_requests() {
	serve_start "$D" --no-worker || return 1
	node "$SRC/tests/integration/http_tool.mjs" late "$API" "$SERVE" "$SUB/resourceGroups/late?$V" >"$T/late" &
	local tool=$!
	wait "$SERVE" || { echo "the server's status is $?"; return 1; }
	wait "$tool" && grep -q '^HTTP/1.1 201' "$T/late"
}

# kill -9 of everything at any moment: what was acknowledged is there, and ends well.
kill_all() {
	local pids
	kill -9 "$SERVE" 2>/dev/null
	mapfile -t pids < <(pgrep -f -- "worker .*--data $D\$")
	[ ${#pids[@]} = 0 ] || kill -9 "${pids[@]}" 2>/dev/null
	wait "$SERVE" 2>/dev/null
}
killed() {
	local round n
	: >"$T/acknowledged"
	for round in 1 2 3 4 5 6; do
		serve_start "$D" || return 1
		(
			for n in 1 2 3 4 5 6 7 8; do
				gallery_put "k$round$n" >/dev/null 2>&1 && grep -q '^HTTP/1.1 20[01]' "$T/head" &&
					echo "k$round$n" >>"$T/acknowledged"
			done
		) &
		n=$!
		sleep "0.$((RANDOM % 9))" # any moment will do
		kill_all
		wait "$n"
	done
	serve_start "$D" || return 1
	while read -r n; do
		same Succeeded "$(settled "$SUB/resourceGroups/rg/providers/Microsoft.Compute/galleries/$n?$GV")" || return 1
	done < <(cat "$T/acknowledged"; api GET "$SUB/resourceGroups/rg/providers/Microsoft.Compute/galleries?$GV" | jq -r '.value[].name')
	[ -s "$T/acknowledged" ] || { echo "none was acknowledged"; return 1; }
	same 0 "$(metric kiln_jobs_queued)" && same 0 "$(metric kiln_jobs_running)"
}

# A worker that dies is started anew, and finishes what it had begun.
worker_dies() {
	local pid
	pid=$(pgrep -f -- "worker --lifeline .*--data $D\$") || return 1
	kill -9 "$pid"
	gallery_put after >/dev/null &&
		same Succeeded "$(settled "$SUB/resourceGroups/rg/providers/Microsoft.Compute/galleries/after?$GV")"
}

# Started by root, the API process is the user "kiln" where there is one.
unprivileged() {
	local made='' pid r=0
	chmod 755 "$T" "$WORK"
	id kiln >/dev/null 2>&1 || { useradd --system --no-create-home --shell /usr/sbin/nologin kiln && made=1; } || return 1
	serve_start "$T/user" || r=1
	pid=$SERVE
	[ $r = 1 ] || {
		same kiln "$(ps -o user= -p "$pid")" &&
			same "CapEff:	0000000000000000" "$(grep CapEff "/proc/$pid/status")" &&
			same "NoNewPrivs:	1" "$(grep NoNewPrivs "/proc/$pid/status")" &&
			same "root:kiln 640" "$(stat -c '%U:%G %a' "$T/user/tls/server.key")" &&
			! find "/proc/$pid/fd" -lname "*regions*" -o -lname "*/store/*" | grep . &&
			SUB=/subscriptions/$(jq -r .subscriptionId "$T/user/admin.json") &&
			same 201 "$(api PUT "$SUB/resourceGroups/rg?$V" -d '{"location":"eastus"}' -o /dev/null -w '%{http_code}')" &&
			gallery_put one >/dev/null &&
			same Succeeded "$(settled "$SUB/resourceGroups/rg/providers/Microsoft.Compute/galleries/one?$GV")" &&
			[ -s "$T/user/log/access.log" ]
	} || r=1
	serve_stop || r=1
	[ -z "$made" ] || userdel kiln
	return $r
}

socket_activation() {
	command -v systemd-socket-activate >/dev/null || { echo "ok socket activation # skip"; return 0; }
	local port line
	port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
	mkfifo "$T/act"
	systemd-socket-activate -l "127.0.0.1:$port" "$KILN" serve --data "$T/act.d" --no-worker >"$T/act" 2>"$T/act.err" &
	SERVE=$!
	CA=/dev/null
	# the first connection starts it
	until curl -sk "https://127.0.0.1:$port/healthz" >"$T/body" && [ -s "$T/body" ]; do :; done &
	read -r line <"$T/act"
	wait "$!"
	same "ready https://127.0.0.1:$port" "$line" && same ok "$(jq -r .status "$T/body")"
	local r=$?
	serve_stop && return $r
}

units() {
	command -v systemd-analyze >/dev/null || return 0
	mkdir -p "$T/units" && sed "s,@bindir@,$(dirname "$KILN"),g" "$SRC/systemd/kiln.service.in" >"$T/units/kiln.service" &&
		sed "s,@bindir@,$(dirname "$KILN"),g" "$SRC/systemd/kiln-worker.service.in" >"$T/units/kiln-worker.service" &&
		cp "$SRC/systemd/kiln.socket" "$T/units/" &&
		systemd-analyze verify --man=no --recursive-errors=no "$T"/units/*
}

bad_settings() {
	mkdir -p "$T/bad"
	printf 'server:\n  metrics: everybody\n' >"$T/bad/kiln.yaml"
	status 3 "$KILN" serve --data "$T/bad" --listen 127.0.0.1:0 2>"$T/bad.err" && grep -q 'server.metrics' "$T/bad.err" &&
		printf 'server:\n  certificate: /nowhere\n' >"$T/bad/kiln.yaml" &&
		status 3 "$KILN" serve --data "$T/bad" --listen 127.0.0.1:0 2>"$T/bad.err" && grep -q 'come together' "$T/bad.err" &&
		rm "$T/bad/kiln.yaml" && status 3 "$KILN" serve --data "$T/bad" --listen nowhere 2>"$T/bad.err" &&
		grep -q 'ADDRESS:PORT' "$T/bad.err"
}

check "ready line and endpoint" ready_line
check "certificates for every name, trusted by their CA" certificates
check "TLS 1.2 and 1.3, nothing older" tls_versions
check "a renewed certificate without a restart" renewal
check "HEAD" head_request
check "keep-alive" keep_alive
check "headers of an unauthenticated request" headers
check "ids of clients cannot hold anything else" no_injection
check "the Unix socket knows its peers" local_owner
check "a group" group
check "an operation runs in the worker" operation
check "metrics" prometheus
check "access log without secrets" secrets_stay_out
check "one server a directory" one_server
check "a worker that dies is replaced" worker_dies
check "SIGTERM ends it" graceful
check "a request under way is finished" finishes_requests
check "nothing is lost to kill -9" killed
serve_stop
check "the API process needs no privileges" unprivileged
check "socket activation" socket_activation
check "systemd units" units
check "bad settings" bad_settings
check "nothing is left" nothing_left
