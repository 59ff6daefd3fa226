#!/bin/bash
# Roles: every operation of every type by every role at every scope, against an oracle of its own;
# revocation across processes; a tampered audit log.
# shellcheck source=tests/integration/lib.sh
. "$SRC/tests/integration/lib.sh"
set -e
ASK=$(dirname "$KILN_EXE")/tests/ask_tool
D=$T/data
[ -d /dev/shm ] && [ -w /dev/shm ] && D=$(mktemp -d /dev/shm/kiln-roles.XXXXXX)/data
trap 'rm -rf "$(dirname "$D")"' EXIT

"$KILN" --data "$D" init >/dev/null
check every-operation-by-every-role node "$SRC/tests/integration/roles_oracle.mjs" "$ASK" "$D"
tail -n 1 "$T/check.out"
many() {
	[ "$(tail -n 1 "$T/oracle" | jq .cases)" -ge 25000 ]
}
cp "$T/check.out" "$T/oracle"
check thousands-of-cases many

# A role that another process takes away is gone within a second.
S=/subscriptions/$(jq -r .subscriptionId "$D/admin.json")
A="$S/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-00000000abcd"
V='api-version=2022-04-01'
WHO=00000000-0000-4000-8000-0000000000d1
"$KILN" --data "$D" rest PUT "/providers/Kiln.Identity/servicePrincipals/dora?api-version=2026-11-01" \
	--body - <<<"{\"properties\":{\"objectId\":\"$WHO\"}}" >/dev/null
"$KILN" --data "$D" rest PUT "$A?$V" --body - >/dev/null <<<"{\"properties\":{\"principalId\":\"$WHO\",
	\"roleDefinitionId\":\"acdd72a7-3385-48ef-bd42-f606fba81ae7\"}}"
revoked() {
	local line status fd
	coproc TOOL { "$ASK" "$D"; }
	line="{\"who\":{\"objectId\":\"$WHO\",\"groups\":[]},\"method\":\"GET\",\"target\":\"$S/resourceGroups?api-version=2021-04-01\"}"
	echo "$line" >&"${TOOL[1]}"
	read -r status <&"${TOOL[0]}"
	same 200 "$(jq .status <<<"$status")" || return 1
	"$KILN" --data "$D" rest DELETE "$A?$V" >/dev/null || return 1
	for _ in 1 2 3 4 5 6 7 8 9 10; do # it may take a moment, but no more
		echo "$line" >&"${TOOL[1]}"
		read -r status <&"${TOOL[0]}"
		[ "$(jq .status <<<"$status")" != 403 ] || break
		sleep 0.1
	done
	fd=${TOOL[1]}
	exec {fd}>&-
	same 403 "$(jq .status <<<"$status")"
}
check revocation-reaches-other-processes revoked

# The audit log.
check audit-is-whole "$KILN" --data "$D" audit verify
head=$("$KILN" --data "$D" audit verify --json | jq -r .head)
"$KILN" --data "$D" rest PUT "$S/resourceGroups/later?api-version=2021-04-01" --body - \
	<<<'{"location":"eastus"}' >/dev/null
check audit-still-has-the-head "$KILN" --data "$D" audit verify --head "$head"
check audit-list same later "$("$KILN" --data "$D" audit list --group later --json | jq -r '.[0].resourceGroupName')"
tampered() { # SQL ROW
	local copy=$T/tampered out
	rm -rf "$copy"
	cp -a "$D" "$copy"
	sqlite3 "$copy/meta.db" "$1"
	out=$(status 1 "$KILN" --data "$copy" audit verify 2>&1) || { echo "$out"; return 1; }
	grep -q "$2" <<<"$out" || { echo "$out"; return 1; }
}
check changed-record tampered "UPDATE audit SET record = replace(record, 'PUT', 'GET') WHERE seq = 7" 'row 7 was changed'
check missing-record tampered 'DELETE FROM audit WHERE seq = 9' 'row 9 is missing'
check swapped-records tampered "UPDATE audit SET seq = -seq WHERE seq IN (5, 6);
	UPDATE audit SET seq = 11 + seq WHERE seq < 0" 'row 5'
check cut-off tampered 'DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)' 'ends at row'
# A log that was rewritten whole is consistent in itself; each region's checkpoints show it, and a head
# noted elsewhere, also where there is no checkpoint left.
rewritten() {
	local copy=$T/rewritten
	rm -rf "$copy"
	cp -a "$D" "$copy"
	sqlite3 "$copy/meta.db" 'DELETE FROM audit; UPDATE audit_head SET seq = 0, hash = printf("%064d", 0)'
	status 1 "$KILN" --data "$copy" audit verify || return 1
	rm "$copy/regions/eastus/marks/"* # one honest region is enough
	status 1 "$KILN" --data "$copy" audit verify >"$T/out" 2>&1 || return 1
	grep -q 'Region westeurope has a checkpoint' "$T/out" || return 1
	rm "$copy/regions/westeurope/marks/"*
	"$KILN" --data "$copy" audit verify >/dev/null && status 1 "$KILN" --data "$copy" audit verify --head "$head"
}
check a-noted-head-shows-a-rewritten-log rewritten
# More records than the checkpoint has, but others: nobody signs a checkpoint of that.
regrown() {
	local copy=$T/regrown before
	rm -rf "$copy"
	cp -a "$D" "$copy"
	before=$(find "$copy/regions" -name 'audit.*' | sort)
	sqlite3 "$copy/meta.db" 'DELETE FROM audit WHERE seq > 3;
		UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)'
	while [ "$(sqlite3 "$copy/meta.db" 'SELECT seq FROM audit_head')" -le "$(sqlite3 "$D/meta.db" 'SELECT seq FROM audit_head')" ]; do
		for i in 1 2 3 4 5 6 7 8 9; do
			echo "{\"who\":null,\"method\":\"PUT\",\"target\":\"$S/resourceGroups/x$i$RANDOM?api-version=2021-04-01\",\"body\":{\"location\":\"eastus\"}}"
		done | "$ASK" "$copy" >/dev/null
	done
	"$KILN" --data "$copy" group create more --location eastus >/dev/null 2>"$T/warned" || return 1
	grep -q 'event=audit.checkpoint' "$T/warned" || return 1
	same "$before" "$(find "$copy/regions" -name 'audit.*' | sort)" || return 1
	status 1 "$KILN" --data "$copy" audit verify
}
check a-log-that-grew-again-gets-no-checkpoint regrown
# What the installation did not sign counts for nothing.
forged() {
	local copy=$T/forged mark
	rm -rf "$copy"
	cp -a "$D" "$copy"
	mark=$(find "$copy/regions/eastus/marks" -name 'audit.*' | sort | tail -n 1)
	sed -i 's/"records":[0-9]*/"records":1/' "$mark"
	status 1 "$KILN" --data "$copy" audit verify >"$T/out" 2>&1 && grep -q 'is not what this installation signed' "$T/out"
}
check a-forged-checkpoint-is-told forged
# A database that was restored is accepted once, and that is recorded.
restored() {
	local copy=$T/restored
	rm -rf "$copy"
	cp -a "$D" "$copy"
	sqlite3 "$copy/meta.db" ".backup $T/backup.db"
	"$KILN" --data "$copy" group create lost --location eastus >/dev/null || return 1
	"$KILN" --data "$copy" audit verify >/dev/null || return 1
	rm -f "$copy"/meta.db-*
	cp "$T/backup.db" "$copy/meta.db"
	status 1 "$KILN" --data "$copy" audit verify || return 1
	"$KILN" --data "$copy" audit accept --reason 'the disk was lost' || return 1
	"$KILN" --data "$copy" audit verify || return 1
	status 1 "$KILN" --data "$copy" audit accept --reason again || return 1
	same 'the disk was lost' "$(sqlite3 "$copy/meta.db" "SELECT json_extract(record, '\$.reason') FROM audit ORDER BY seq DESC LIMIT 1")"
}
check a-restored-database-is-accepted-once restored
