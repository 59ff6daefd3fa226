#!/bin/sh
# This machine made its own identity; the image brought none.
bad=0
id=$(cat /etc/machine-id)
echo "machine-id: ${#id} digits"
[ "${#id}" -eq 32 ] || bad=1
for key in /etc/ssh/ssh_host_*_key; do
	if [ ! -s "$key" ]; then
		echo "no SSH host key"
		bad=1
	elif [ "$(stat -c %a "$key")" != 600 ]; then
		echo "$key is readable by others"
		bad=1
	fi
done
if awk -F: '$2 != "" && $2 !~ /^[!*]/ { print $1; found = 1 } END { exit !found }' /etc/shadow; then
	echo "an account has a password"
	bad=1
fi
exit $bad
