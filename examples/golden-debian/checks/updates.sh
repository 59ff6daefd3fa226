#!/bin/sh
# Security updates install themselves.
bad=0
config=$(apt-config dump) || exit 1
for line in 'APT::Periodic::Update-Package-Lists "1";' 'APT::Periodic::Unattended-Upgrade "1";' \
	'Unattended-Upgrade::Automatic-Reboot "false";'; do
	case $config in
	*"$line"*) echo "ok $line" ;;
	*)
		echo "not set: $line"
		bad=1
		;;
	esac
done
for timer in apt-daily.timer apt-daily-upgrade.timer; do
	systemctl is-enabled "$timer" || bad=1
done
exit $bad
