#!/bin/sh
# The rules are loaded in the kernel and the daemon listens to it.
rules=$(auditctl -l) || exit 1
bad=0
for key in scope identity sshd time-change modules perm_mod; do
	if printf '%s\n' "$rules" | grep -qE "(-k |key=)$key\$"; then
		echo "ok $key"
	else
		echo "no rule with key $key"
		bad=1
	fi
done
auditctl -s | grep -E '^(enabled|pid) '
auditctl -s | grep -q '^enabled [12]' || bad=1
auditctl -s | grep -q '^pid [1-9]' || bad=1
exit $bad
