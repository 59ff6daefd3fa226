#!/bin/bash
# The site answers with its page and its headers, and says nothing about its version.
set -u
get() { # PATH
	exec 3<>/dev/tcp/127.0.0.1/80 || return 1
	printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
	tr -d '\r' <&3
	exec 3>&-
}
page=$(get /) || exit 1
bad=0
want() {
	if grep -qF -- "$1" <<<"$page"; then
		echo "ok $1"
	else
		echo "missing: $1"
		bad=1
	fi
}
want 'HTTP/1.1 200 OK'
want 'X-Content-Type-Options: nosniff'
want 'X-Frame-Options: DENY'
want 'Referrer-Policy: no-referrer'
want "Content-Security-Policy: default-src 'none'"
# shellcheck source=/dev/null
. /etc/golden-image
want "<h1>$NAME $VERSION</h1>"
if grep -qi '^server: nginx/' <<<"$page"; then
	echo "the server tells its version"
	bad=1
fi
[ "$(get /healthz | tail -n 1)" = ok ] || { echo "/healthz does not answer ok"; bad=1; }
grep -q '404 Not Found' <<<"$(get /no-such-page)" || { echo "no 404 for a missing page"; bad=1; }
exit $bad
