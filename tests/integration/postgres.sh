#!/bin/bash
# One PostgreSQL, two hosts: data directories of their own, process ids of their own, the same regions.
# Groups, galleries, versions through both; jobs once each, also when a worker is killed; a server that is
# restarted in between. Needs no bake.
# shellcheck source-path=SCRIPTDIR
. "${SRC:?}/tests/integration/lib.sh"
set -u
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/postgres" ] || { echo "skip postgres: PostgreSQL's server is not installed"; exit 0; }
own=$(mktemp -d /tmp/kiln-postgres.XXXXXX)
chmod 755 "$own"
install -d -o postgres -g postgres "$own/pg" "$own/sock"
as_pg() { (cd / && setpriv --reuid postgres --regid postgres --clear-groups -- "$@"); }
pg_pid='' killed=''

pg_start() {
	# -w: until it accepts connections. Processes of one that was killed may still be ending.
	local i
	for i in $(seq 1 20); do
		as_pg "$bin/pg_ctl" -D "$own/pg" -w -l "$own/pg/log" -o "-k $own/sock -h '' -c dynamic_shared_memory_type=mmap" start >"$own/pg.log" 2>&1 && break
		[ "$i" != 20 ] || { cat "$own/pg.log"; return 1; }
	done
	pg_pid=$(head -n 1 "$own/pg/postmaster.pid")
}
psql_() { as_pg "$bin/psql" -h "$own/sock" -U kiln -d postgres -AtXq "$@"; }
pg_stop() { # SIGNAL
	kill "-$1" "$pg_pid"
	while kill -0 "$pg_pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pg_pid/status" 2>/dev/null; do
		read -rt 0.05 <> <(:) || :
	done
	pg_pid=
}
cleanup() {
	local d
	[ -z "$killed" ] || kill -9 "$killed" 2>/dev/null
	[ -z "$pg_pid" ] || pg_stop QUIT
	for d in a b; do
		rm -rf --one-file-system "/run/kiln/$(printf %s "$own/$d" | sha256sum | cut -c1-8)"
	done
	rm -rf --one-file-system "$own"
}
trap cleanup EXIT

# on HOST COMMAND...: kiln in that host's data directory and in a pid namespace, as on a machine of its own.
on() {
	local host=$1
	shift
	KILN_DATA="$own/$host" unshare --pid --fork --kill-child -- "$KILN" "$@"
}
put() { # HOST ID VERSION BODY [OPTIONS...]
	local host=$1 id=$2 v=$3 body=$4
	shift 4
	printf %s "$body" | on "$host" rest PUT "$id" --api-version "$v" --body - "$@"
}
get() { # HOST ID VERSION
	on "$1" rest GET "$2" --api-version "$3"
}
state() { # HOST ID
	get "$1" "$2" 2023-07-03 | jq -r .properties.provisioningState
}

# Its own order of text is not that of bytes, which kiln's lists and ranges need.
as_pg "$bin/initdb" -D "$own/pg" -U kiln -A trust --no-instructions --locale=C.UTF-8 \
	--locale-provider=icu --icu-locale=en >"$own/initdb.log" 2>&1 ||
	{ cat "$own/initdb.log"; echo "not ok initdb"; exit 1; }
pg_start || { echo "not ok start of PostgreSQL"; exit 1; }

mkdir -p "$own/a" "$own/b" "$own/regions"
for d in a b; do
	cat >"$own/$d/kiln.yaml" <<YAML
database: postgres://kiln@/postgres?host=$own/sock
regions:
  - name: eastus
    url: $own/regions/eastus
  - name: westeurope
    url: $own/regions/westeurope
YAML
done
check "a data directory on PostgreSQL" on a init
cp -p "$own/a/admin.json" "$own/b/"
check "a second host joins" on b init
check "no SQLite file" test ! -e "$own/a/meta.db"

GROUP=/resourceGroups/pg
NS=$GROUP/providers/Microsoft.Compute
check "a group by one host" put a $GROUP 2021-04-01 '{"location":"eastus"}'
check "is there on the other" get b $GROUP 2021-04-01
check "a gallery" put b $NS/galleries/g 2023-07-03 '{"location":"eastus"}' --wait
check "a definition" put a $NS/galleries/g/images/d 2023-07-03 '{"location":"eastus","properties":{
  "osType":"Linux","osState":"Generalized","hyperVGeneration":"V2",
  "identifier":{"publisher":"p","offer":"o","sku":"s"}}}' --wait
check "a disk" put b $NS/disks/empty 2023-04-02 '{"location":"eastus","properties":{
  "creationData":{"createOption":"Empty"},"diskSizeGB":1}}' --wait
sub=$(jq -r .subscriptionId "$own/a/admin.json")
version='{"location":"eastus","properties":{"publishingProfile":{"targetRegions":[{"name":"eastus"},
  {"name":"westeurope"}]},"storageProfile":{"osDiskImage":{"source":{"id":"/subscriptions/'$sub$NS'/disks/empty"}}}}}'
V=$NS/galleries/g/images/d/versions
check "a version" put a $V/1.0.0 2023-07-03 "$version" --wait
check "is whole on the other host" same Succeeded "$(state b $V/1.0.0)"
replicas() { get b "$V/1.0.0?\$expand=ReplicationStatus" 2023-07-03 | jq -r '.properties.replicationStatus.aggregatedState'; }
check "and in both regions" same Completed "$(replicas)"

# Many jobs, two hosts that work at once.
queue() {
	local i
	for i in $(seq 1 12); do
		put a "$V/2.0.$i" 2023-07-03 "$version" --no-wait >/dev/null || return 1
	done
}
check "a queue of jobs" queue
together() {
	local p=()
	timeout 120 env KILN_DATA="$own/a" unshare --pid --fork --kill-child -- "$KILN" worker >"$own/w1" 2>&1 &
	p+=($!)
	timeout 120 env KILN_DATA="$own/b" unshare --pid --fork --kill-child -- "$KILN" worker >"$own/w2" 2>&1 &
	p+=($!)
	for _ in $(seq 1 1000); do
		[ "$(psql_ -c 'SELECT COUNT(*) FROM job')" = 0 ] && break
		read -rt 0.1 <> <(:) || :
	done
	kill "${p[@]}" 2>/dev/null
	wait "${p[@]}" 2>/dev/null
	same 0 "$(psql_ -c 'SELECT COUNT(*) FROM job')"
}
check "two workers empty the queue" together
ended() {
	psql_ -c "SELECT COUNT(*) FROM operation WHERE resource LIKE '%/2.0.%' AND state = 1"
}
check "every job ended well" same 12 "$(ended)"
once() {
	psql_ -c "SELECT COUNT(*) FROM audit WHERE record LIKE '%versions/create%' AND record LIKE '%/2.0.%'"
}
check "and once" same 12 "$(once)"

# A worker that is killed while it has a job: on another host only the lease tells.
taken_over() {
	put a $V/3.0.0 2023-07-03 "$version" --no-wait >/dev/null || return 1
	psql_ -c "UPDATE job SET owner = '{\"host\":\"gone\"}', token = token + 1,
		lease_us = (EXTRACT(EPOCH FROM now()) * 1000000)::bigint + 2000000" || return 1
	same Creating "$(state b $V/3.0.0)" || return 1
	put b $V/3.0.0 2023-07-03 "$version" --wait >"$own/out" 2>&1 # 409 while it runs
	timeout 60 env KILN_DATA="$own/b" unshare --pid --fork --kill-child -- "$KILN" worker >"$own/w3" 2>&1 &
	killed=$!
	for _ in $(seq 1 300); do
		[ "$(psql_ -c 'SELECT COUNT(*) FROM job')" = 0 ] && break
		read -rt 0.1 <> <(:) || :
	done
	kill "$killed" 2>/dev/null
	wait "$killed" 2>/dev/null
	killed=
	same Succeeded "$(state a $V/3.0.0)"
}
check "the job of a dead host is taken over" taken_over

pg_stop KILL
unreachable() { # a command waits a while for a server, then says what is wrong
	on a rest GET $GROUP --api-version 2021-04-01 >"$own/out" 2>"$own/err" && return 1
	cat "$own/err"
	grep -q 'cannot be reached' "$own/err"
}
check "without its server a command fails and says why" unreachable
check "PostgreSQL again" pg_start
check "everything is still there" same Succeeded "$(state a $V/1.0.0)"
check "the group goes with all in it" on b rest DELETE $GROUP --api-version 2021-04-01 --wait
check "the audit log holds the checkpoints of one host" on a audit verify
check "and those of the other" on b audit verify
psql_ -c "UPDATE audit SET record = replace(record, 'PUT', 'GET') WHERE seq = 2" >/dev/null
check "a changed record is found" status 1 on b audit verify
psql_ -c "UPDATE audit SET record = replace(record, 'GET', 'PUT') WHERE seq = 2" >/dev/null
check "and was the only one" on b audit verify
check "nothing is left of it" same 0 "$(psql_ -c "SELECT COUNT(*) FROM resource WHERE key LIKE '%/resourcegroups/pg%'")"
secret() {
	sed -i 's,postgres://kiln@/,postgres://kiln:hunter2@/,' "$own/b/kiln.yaml"
	status 1 on b rest GET $GROUP --api-version 2021-04-01 >"$own/out" 2>&1
	grep -q 'holds a password' "$own/out" && ! grep -q hunter2 "$own/out"
}
check "a password in the URL is refused and not repeated" secret
for d in a b; do
	KILN_DATA=$own/$d check "nothing is left of host $d" nothing_left
done
