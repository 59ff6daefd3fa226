#!/bin/bash
# Generalize: planted defects are reported by the verifier, removed by the sealer, and links never
# lead either of them out of the image.
# shellcheck disable=SC2016
. "$SRC/tests/integration/lib.sh"
# shellcheck source=tests/integration/executor_lib.sh
. "$SRC/tests/integration/executor_lib.sh"

# Plants one defect: CHECK PATH [CONTENT]. Those that sealing removes.
defects() {
	cat <<-'EOF'
	machine-id /etc/machine-id 0123456789abcdef0123456789abcdef
	dbus-machine-id /var/lib/dbus/machine-id 0123456789abcdef0123456789abcdef
	ssh-host-keys /etc/ssh/ssh_host_rsa_key k
	ssh-host-keys /etc/dropbear/dropbear_rsa_host_key k
	hostname /etc/hostname builder7
	hosts /etc/hosts 127.0.1.1 builder7
	random-seed /var/lib/systemd/random-seed r
	random-seed /var/lib/urandom/random-seed r
	credential-secret /var/lib/systemd/credential.secret s
	interface-macs /etc/sysconfig/network-scripts/ifcfg-eth0 HWADDR=02:00:00:00:00:01
	persistent-net-rules /etc/udev/rules.d/70-persistent-net.rules r
	network-manager-connections /etc/NetworkManager/system-connections/wifi.nmconnection c
	network-manager-state /var/lib/NetworkManager/secret_key s
	systemd-network-state /var/lib/systemd/network/leases l
	iscsi-initiator /etc/iscsi/initiatorname.iscsi InitiatorName=iqn.1993-08.org.debian:01:abc
	nvme-host /etc/nvme/hostnqn n
	nvme-host /etc/nvme/hostid n
	lvm-devices /etc/lvm/devices/system.devices d
	lvm-archive /etc/lvm/archive/vg0 d
	blkid-cache /etc/blkid.tab b
	snmp-engine-id /var/lib/snmp/snmpd.conf e
	popularity-contest /etc/popularity-contest.conf MY_HOSTID=1
	yum-uuid /var/lib/yum/uuid u
	ipa-client /etc/ipa/default.conf i
	kerberos-keytab /etc/krb5.keytab k
	kerberos-database /var/lib/krb5kdc/principal p
	sssd-state /var/lib/sss/db/cache.ldb c
	samba-state /var/lib/samba/secrets.tdb s
	puppet-keys /var/lib/puppet/ssl/private.pem k
	chef-keys /etc/chef/client.pem k
	salt-keys /etc/salt/pki/minion.pem k
	salt-keys /etc/salt/minion_id m
	rhn-systemid /etc/sysconfig/rhn/systemid s
	subscription-certificates /etc/pki/consumer/cert.pem c
	ubuntu-pro-token /var/lib/ubuntu-advantage/machine-token.json t
	tailscale-state /var/lib/tailscale/tailscaled.state t
	wireguard-keys /etc/wireguard/wg0.conf PrivateKey=x
	openvpn-keys /etc/openvpn/server/server.key k
	zerotier-identity /var/lib/zerotier-one/identity.secret z
	netbird-state /etc/netbird/config.json n
	kubernetes-credentials /etc/kubernetes/admin.conf k
	kubernetes-credentials /var/lib/kubelet/pki/kubelet.key k
	docker-identity /etc/docker/key.json k
	azure-agent /var/lib/waagent/ovf-env.xml o
	amazon-agent /var/lib/amazon/ssm/registration r
	google-agent /etc/instance_id i
	cloud-init-instance /var/lib/cloud/instances/i-1/obj.pkl o
	cloud-init-data /var/lib/cloud/data/instance-id i
	cloud-init-seed /var/lib/cloud/seed/nocloud/user-data u
	cloud-init-semaphores /var/lib/cloud/sem/config_x s
	cloud-init-network /etc/netplan/50-cloud-init.yaml n
	shell-history /root/.bash_history ls
	shell-history /home/ann/.zsh_history ls
	shell-history /srv/app/.bash_history ls
	shell-history /home/nobody-listed/.bash_history ls
	tool-history /root/.lesshst l
	tool-history /home/ann/.viminfo v
	ssh-user-keys /root/.ssh/authorized_keys k
	ssh-user-keys /home/ann/.ssh/id_ed25519 k
	ssh-user-keys /home/ann/.ssh/known_hosts k
	gnupg /home/ann/.gnupg/private-keys-v1.d/k k
	aws-credentials /root/.aws/credentials a
	azure-credentials /root/.azure/accessTokens.json a
	gcloud-credentials /home/ann/.config/gcloud/credentials.db g
	terraform-credentials /root/.terraform.d/credentials.tfrc.json t
	s3-credentials /root/.s3cfg s
	rclone-credentials /root/.config/rclone/rclone.conf r
	registry-credentials /root/.docker/config.json d
	registry-credentials /home/ann/.config/containers/auth.json d
	kube-credentials /root/.kube/config k
	git-credentials /root/.git-credentials https://u:p@git.example
	netrc /root/.netrc n
	vault-token /root/.vault-token v
	database-passwords /root/.pgpass p
	pypi-credentials /root/.pypirc p
	cargo-credentials /root/.cargo/credentials.toml c
	package-tokens /root/.npmrc //registry/:_authToken=abc
	user-caches /root/.cache/pip/x c
	journal /var/log/journal/0123/system.journal j
	logs /var/log/syslog line
	logs /var/log/nginx/access.log line
	crash-dumps /var/crash/core c
	crash-dumps /var/lib/systemd/coredump/core.x c
	abrt /var/spool/abrt/x a
	pstore /var/lib/systemd/pstore/dmesg p
	mail /var/mail/root m
	cron-spool /var/spool/cron/crontabs/root c
	dhcp-leases /var/lib/dhcp/dhclient.eth0.leases l
	sudo-lectures /var/lib/sudo/lectured/ann l
	faillock /var/lib/faillock/ann f
	timers /var/lib/systemd/timers/stamp-apt.timer t
	apt-lists /var/lib/apt/lists/mirror_InRelease l
	apt-cache /var/cache/apt/archives/a.deb d
	apt-cache /var/cache/apt/pkgcache.bin d
	account-backups /etc/passwd- p
	account-backups /etc/shadow- p
	account-backups /var/backups/shadow.bak p
	temporary-files /var/tmp/x x
	resolv-conf /etc/resolv.conf nameserver 192.0.2.1
	builder-proxy /etc/apt/apt.conf.d/99proxy Acquire::http::Proxy "http://127.0.0.1:3128";
	builder-proxy /etc/environment http_proxy=http://127.0.0.1:3128
	apt-credentials /etc/apt/auth.conf.d/mirror.conf machine m login l password p
	builder-ca /usr/local/share/ca-certificates/kiln-proxy.crt c
	builder-files /root/.kiln-x x
	EOF
}
# Those that are somebody's decision: reported, never changed.
decisions() {
	cat <<-'EOF'
	passwords /etc/shadow root:$6$abc$QWERTY:1:0:99999:7:::
	passwords /etc/shadow eve::1:0:99999:7:::
	accounts /etc/passwd toor:x:0:0::/root:/bin/sh
	accounts /etc/passwd packer:x:1001:1001::/home/packer:/bin/bash
	accounts /etc/passwd open::1002:1002::/home/open:/bin/bash
	sudo /etc/sudoers.d/packer packer ALL=(ALL) NOPASSWD: ALL
	sshd /etc/ssh/sshd_config PermitEmptyPasswords yes
	apt-credentials /etc/apt/sources.list deb https://u:secret@mirror.example/debian x main
	netplan-mac /etc/netplan/01-eth.yaml macaddress: 02:00:00:00:00:01
	cloud-init-passwords /etc/cloud/cloud.cfg.d/99-pw.cfg chpasswd: {expire: false}
	rhosts /root/.rhosts +
	builder-ca /usr/local/share/ca-certificates/mitmproxy.crt c
	fstab /etc/fstab /dev/loop7 / ext4 defaults 0 1
	EOF
}
plant() { # a script that plants what comes on standard input
	local check path text
	while read -r check path text; do
		printf 'mkdir -p %q; printf "%%s\\n" %q >>%q\n' "$(dirname "$path")" "$text" "$path"
	done
}
reported() { # CHECK PATH LOG: the path, or a directory above it, is a finding
	awk -v c="$1" -v p="$2" '$1 == "finding" && $2 == c && index(p "/", $3 "/") == 1 {f = 1} END {exit !f}' "$3"
}
expect() { # LOG: each line of standard input is a finding there
	local check path text
	while read -r check path text; do
		check "found_${check}_${path//\//_}" reported "$check" "$path" "$1"
	done
}

[ "$(id -u)" = 0 ] && [ -e /dev/loop-control ] && [ -e /dev/fuse ] || {
	echo "skip seal: needs root, loop devices and FUSE"
	exit 0
}
make_root || { echo "not ok seal_root"; exit 1; }
accounts='printf "ann:x:1000:1000::/home/ann:/bin/sh\napp:x:900:900::/srv/app:/bin/false\n" >>/etc/passwd;'

x snapshot verify >"$T/out" 2>&1
check untouched_root_needs_machine_id has 'finding machine-id /etc/machine-id missing' "$T/out"

{ echo "$accounts"; defects | plant; } >"$T/plant.sh"
x file plant.sh "$T/plant.sh" run 'sh /run/kiln/plant.sh' snapshot verify seal snapshot verify >"$T/out" 2>&1
sed '/^sealed/q' "$T/out" >"$T/before"
sed '1,/^sealed/d' "$T/out" >"$T/after"
expect "$T/before" < <(defects)
check sealed has '^sealed ' "$T/out"
check operations test "$(grep -o '"operation"' "$T/out" | wc -l)" -ge 75
check checks test "$(sed -n 's/.*"checks":\([0-9]*\).*/\1/p' "$T/after")" -ge 95
check nothing_left has '^verified 0 ' "$T/after"

{ echo "$accounts : >/etc/machine-id; echo localhost >/etc/hostname;"; decisions | plant; } >"$T/plant.sh"
x file plant.sh "$T/plant.sh" run 'sh /run/kiln/plant.sh' seal snapshot verify >"$T/out" 2>&1
expect "$T/out" < <(decisions)

# Unlike a name, a well-known password needs its hash to be tried.
hash=$(perl -e 'print crypt("changeme", "\$6\$saltsalt")')
x run "echo 'bob:$hash:1:0:99999:7:::' >>/etc/shadow" seal snapshot verify >"$T/out" 2>&1
check well_known_password has 'finding passwords /etc/shadow user bob has a well-known' "$T/out"

# Links: out of the root they mean nothing, inside they must not lead to the system.
mkdir -p "$T/host/log"
echo precious >"$T/host/log/file"
x run "rm -rf /var/log /var/tmp; ln -s ../../../../../../../..$T/host/log /var/log; ln -s $T/host/log /var/tmp; mkdir -p /root/.ssh; ln -s $T/host/log /root/.ssh/x; ln -s /etc /root/.cache" \
	seal run 'ls /etc/passwd' >"$T/out" 2>&1
check host_untouched grep -q precious "$T/host/log/file"
x run 'rm -rf /var/log; ln -s /etc /var/log' seal run 'cat /etc/passwd' >"$T/out" 2>&1
check system_link_refused has 'error seal: generalize: .*a link that leads to a system directory' "$T/out"
x run 'echo x >/usr/keep; ln -s /usr /home/usr; ln -s / /home/rootlink; mkdir -p /var/spool; ln -s / /var/spool/mail' seal >"$T/out" 2>&1
check link_in_home has 'error seal' "$T/out"
