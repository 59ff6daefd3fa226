#!/bin/sh -e
# Services, site, permissions.
systemctl enable auditd nftables nginx unattended-upgrades apt-daily.timer apt-daily-upgrade.timer

# Debian 12 logs to the journal; a fixed size keeps it from filling the disk.
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=persistent\nSystemMaxUse=200M\n' > /etc/systemd/journald.conf.d/60-size.conf

rm -f /etc/nginx/sites-enabled/default
ln -sfn ../sites-available/golden /etc/nginx/sites-enabled/golden
rm -f /var/www/html/index.nginx-debian.html
# No port can be opened here, so of nginx's own test only the syntax counts; checks/site.sh asks the
# running server.
nginx -t 2>&1 | grep 'syntax is ok'

# CIS 5.1: cron's files are root's alone. 5.4: a careful default umask. 1.5: no core dumps.
for p in /etc/crontab /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly /etc/cron.d; do
	[ ! -e "$p" ] || chmod og-rwx "$p"
done
sed -i 's/^UMASK.*/UMASK\t\t027/' /etc/login.defs
printf '* hard core 0\n' > /etc/security/limits.d/60-core.conf
mkdir -p /etc/systemd/coredump.conf.d
printf '[Coredump]\nStorage=none\nProcessSizeMax=0\n' > /etc/systemd/coredump.conf.d/60-none.conf
chmod 0644 /etc/passwd /etc/group
chmod 0640 /etc/shadow /etc/gshadow
