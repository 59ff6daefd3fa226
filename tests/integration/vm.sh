#!/bin/bash
# Virtual machines as resources: power, kills of every process beside them, and one real guest with
# Trusted Launch. In a data directory of its own, as it deletes a version.
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
cp -a "$KILN_DATA" "$WORK/vm-data" || exit 1
export KILN_DATA="$WORK/vm-data"
trap 'rm -rf --one-file-system "$WORK/vm-data"' EXIT
RUN=/run/kiln/$(printf %s "$KILN_DATA" | sha256sum | cut -c1-8)
VMS=$G/providers/Microsoft.Compute/virtualMachines

rest() { # METHOD PATH [BODY]
	local method=$1 path=$2
	shift 2
	if [ $# = 0 ]; then
		"$KILN" rest "$method" "$path" --api-version 2024-07-01 --wait
	else
		printf %s "$1" | "$KILN" rest "$method" "$path" --api-version 2024-07-01 --body - --wait
	fi
}
view() { # VM JQ
	"$KILN" rest GET "$VMS/$1/instanceView" --api-version 2024-07-01 | jq -r "$2"
}
power() { # VM
	view "$1" '.statuses[1].code'
}
# until_is VM JQ VALUE SECONDS: asks until it is so.
until_is() {
	local end=$((SECONDS + $4)) got
	until got=$(view "$1" "$2") && [ "$got" = "$3" ]; do
		[ $SECONDS -lt $end ] || { echo "$2: '$got', expected '$3'"; view "$1" .; return 1; }
		read -r -t 0.5 <> <(:) || true
	done
}
vm_id() { # VM
	"$KILN" vm show "$1" --jq .properties.vmId | tr -d '"'
}
keeper() { # VM
	jq -r .keeper "$RUN/vm/$(vm_id "$1").json"
}
process() { # TEXT: pid of the one process with it among its arguments
	local p
	for p in /proc/[0-9]*; do
		{ tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null | grep -qF -e "$1" && { echo "${p#/proc/}"; return 0; }
	done
	return 1
}
qemu() { # VM
	process "guest=m$(vm_id "$1" | cut -c1-8)"
}
kill_it() { # PID: and wait until it is gone
	[ -n "$1" ] && kill -9 "$1" && timeout 60 tail --pid="$1" -f /dev/null
}

# ---- A machine without a system: a blank disk, by BIOS -------------------------------------------
rest PUT "$G/providers/Microsoft.Compute/disks/blank" '{"location":"eastus","properties":
	{"creationData":{"createOption":"Empty"},"diskSizeGB":1,"osType":"Linux"}}' >/dev/null
rest PUT "$G/providers/Microsoft.Compute/images/blank" "$(jq -n --arg sub "$(subscription)" --arg g "$G" '
	{location: "eastus", properties: {hyperVGeneration: "V1", storageProfile: {osDisk: {osType: "Linux",
	osState: "Generalized", managedDisk: {id: ("/subscriptions/" + $sub + $g + "/providers/Microsoft.Compute/disks/blank")}}}}}')" >/dev/null
check "a VM starts" "$KILN" vm create blank -g golden -i "$G/providers/Microsoft.Compute/images/blank" \
	--security Standard -l eastus
check "it runs when its command has ended" same PowerState/running "$(power blank)"
check "it is listed" grep -q 'blank .*running' <("$KILN" vm ls)
uid=$(stat -c %u "/proc/$(qemu blank)")
check "QEMU has a uid of its own" test "$uid" -ge 64100 -a "$uid" -lt 64300
check "a second VM of the name is the same one" same "$(vm_id blank)" \
	"$(rest PUT "$VMS/blank" "$("$KILN" vm show blank --json)" | jq -r .properties.vmId)"

kill_it "$(cat "$RUN/nbd.pid")"
check "a killed nbdkit is started anew" until_is blank .kiln.exportRestarts 1 60
check "its VM goes on" same PowerState/running "$(power blank)"
kill_it "$(process "vmhost --run $RUN")"
check "a killed vmhost ends its VM" until_is blank '.statuses[1].code' PowerState/stopped 60
check "the reason is told" same "the vmhost process ended" "$(view blank .kiln.reason)"
check "QEMU is gone" status 1 qemu blank
check "it can be started again" "$KILN" vm start blank
check "it runs again" same PowerState/running "$(power blank)"
kill_it "$(keeper blank)"
check "a killed keeper: the VM is stopped" same PowerState/stopped "$(power blank)"
check "a killed keeper is told" same "its keeper process ended unexpectedly" "$(view blank .kiln.reason)"
check "it starts after that" "$KILN" vm start blank
check "a command in a VM without an agent fails" status 1 "$KILN" vm exec blank true
check "it is restarted" "$KILN" vm restart blank
check "its console can be read" "$KILN" console blank
check "it stops" "$KILN" vm stop blank
check "stopped" same PowerState/stopped "$(power blank)"
check "nothing of a stopped VM is left" nothing_left
check "it is deallocated" "$KILN" vm deallocate blank
check "deallocated" same PowerState/deallocated "$(power blank)"
check "its image may go" "$KILN" image delete blank --yes
check "it starts without its image" "$KILN" vm start blank
check "it is reimaged while it runs" "$KILN" vm reimage blank
check "it runs after that" same PowerState/running "$(power blank)"
check "a running VM is deleted" "$KILN" vm rm blank --yes
check "no directory of it is left" same "" "$(find "$KILN_DATA/vms" -mindepth 1 -maxdepth 1 -type d)"
check "nothing of a deleted VM is left" nothing_left

# ---- A real guest --------------------------------------------------------------------------------
export XDG_CONFIG_HOME="$T" # where ssh notes host keys
ssh-keygen -q -t ed25519 -N '' -f "$T/id"
# shellcheck disable=SC2016
printf '#!/bin/sh\necho "$(hostname)" >/run/custom-data\n' >"$T/custom"
echo 'correct horse 7' >"$T/password"
check "a Trusted Launch VM starts" "$KILN" vm create web -g golden -i golden/debian-12/1.0.0 -u ada \
	--ssh-key "$T/id.pub" --password-file "$T/password" --custom-data "$T/custom" --disk-gb 8
check "its password is nowhere" status 1 grep -rqF 'correct horse' "$KILN_DATA" "$RUN/vm"
check "the version is deleted while it runs" "$KILN" version delete golden/debian-12/1.0.0 --yes
check "what it held is collected" "$KILN" store gc
check "the guest agent comes up" until_is web '.vmAgent.statuses[0].displayStatus' Ready 900
# shellcheck disable=SC2016
"$KILN" vm exec web --json '
	cloud-init status --wait >/dev/null
	od -An -tu1 -j4 -N1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
	cat /sys/class/tpm/tpm0/tpm_version_major
	cat /run/custom-data
	getent shadow ada | cut -d: -f2 | cut -c1-3
	find /usr/share /usr/bin -type f -exec cat {} + | wc -c | grep -c "^[0-9]*[0-9]\{7\}$"
	echo to-stderr >&2' >"$T/exec.json"
out() { # LINE
	jq -r '.value[0].message' "$T/exec.json" | sed -n "$1p" | tr -d ' '
}
jq -r '.value[0].message' "$T/exec.json"
check "the command succeeded" same 0 "$(jq -r .exitCode "$T/exec.json")"
check "inside: Secure Boot" same 1 "$(out 3)"
check "inside: TPM 2.0" same 2 "$(out 4)"
check "inside: custom data ran, on a host with the VM's name" same web "$(out 5)"
check "inside: the password is a hash" same "\$6\$" "$(out 6)"
check "inside: every file can be read though the version is gone" same 1 "$(out 7)"
check "standard error is kept apart" grep -q '^to-stderr$' <(jq -r '.value[0].message' "$T/exec.json" | sed -n '/^\[stderr\]$/,$p')
check "the console tells of the boot" grep -q -i 'linux\|cloud-init' <("$KILN" console web)
check "ssh by key" same ada "$("$KILN" ssh web -i "$T/id" -- id -un 2>"$T/ssh.err" </dev/null)"
kill_it "$(cat "$RUN/nbd.pid")"
check "a guest goes on when nbdkit was killed" "$KILN" vm exec web 'echo 3 >/proc/sys/vm/drop_caches
	ls -R /etc /usr/share/doc >/dev/null; dmesg | grep -i "i/o error" && exit 1; exit 0'
kill_it "$(process "$RUN/libvirt/vm/m$(vm_id web | cut -c1-8).tpm")"
check "a killed swtpm ends its VM" until_is web '.statuses[1].code' PowerState/stopped 60
check "that it was the TPM is told" grep -q swtpm <(view web .kiln.reason)
check "the VM is deleted" "$KILN" vm rm web --yes
check "nothing is left at the end" nothing_left
