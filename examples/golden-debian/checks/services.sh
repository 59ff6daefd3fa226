#!/bin/sh
# Everything that should run runs, and nothing failed on the way up.
bad=0
failed=$(systemctl list-units --failed --plain --no-legend)
if [ -n "$failed" ]; then
	echo "failed units:"
	echo "$failed"
	for unit in $(printf '%s\n' "$failed" | cut -d' ' -f1); do
		journalctl --no-pager -q -n 30 -u "$unit"
	done
	bad=1
fi
for unit in ssh nginx auditd nftables unattended-upgrades apt-daily-upgrade.timer; do
	state=$(systemctl is-active "$unit")
	echo "$unit: $state"
	[ "$state" = active ] || bad=1
done
exit $bad
