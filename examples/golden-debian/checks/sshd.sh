#!/bin/sh
# What the running server really applies, not what some file says.
config=$(/usr/sbin/sshd -T) || exit 1
bad=0
want() {
	if printf '%s\n' "$config" | grep -qix "$1"; then
		echo "ok $1"
	else
		echo "not set: $1"
		bad=1
	fi
}
want 'permitrootlogin no'
want 'passwordauthentication no'
want 'kbdinteractiveauthentication no'
want 'permitemptypasswords no'
want 'hostbasedauthentication no'
want 'x11forwarding no'
want 'allowtcpforwarding no'
want 'maxauthtries 4'
want 'clientaliveinterval 300'
want 'clientalivecountmax 3'
want 'banner /etc/issue.net'
if printf '%s\n' "$config" | grep -iE '^(kexalgorithms|ciphers|macs) ' | grep -iE 'sha1[,-]|sha1$|cbc|arcfour|md5'; then
	echo "a weak algorithm is offered"
	bad=1
fi
exit $bad
