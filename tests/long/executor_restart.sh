#!/bin/bash
# A restart in a booted guest: services are up before and after it, what was written stays, and it is
# another boot. Firmware that starts again takes minutes under emulation.
. "$SRC/tests/integration/lib.sh"
setup_gallery || exit 1
template again "" '[{"type": "Shell", "name": "before", "inline": ["cp /proc/sys/kernel/random/boot_id /root/boot; systemctl is-system-running || true"]},
	{"type": "WindowsRestart", "name": "again", "restartTimeout": "1h", "restartCheckCommand": "! cmp -s /root/boot /proc/sys/kernel/random/boot_id"},
	{"type": "Shell", "name": "after", "inline": ["test -s /root/boot; systemctl is-system-running || true"]}]'
check "the bake: exit status 0" "$KILN" bake "$T/again.json" -g golden
said() { "$KILN" log again "$1" -g golden --json | jq -r 'select(.type == "output") | .line'; }
for step in before after; do
	check "$step the restart services run" grep -qx 'running\|degraded' <(said $step)
done
check "a step that restarts chooses the guest" grep -q 'a step needs a running system' "$KILN_DATA"/runs/*/run.json
check "nothing is left behind" nothing_left
