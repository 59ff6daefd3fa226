#!/bin/bash
# The container executor by itself: a small disk, a store, no engine. Escapes, limits, kills,
# and that nothing is left of any of it.
# shellcheck disable=SC2016,SC2154
. "$SRC/tests/integration/lib.sh"
# shellcheck source=tests/integration/executor_lib.sh
. "$SRC/tests/integration/executor_lib.sh"
canary=$T/canary
sock=kiln-test-$$

# Everything that a bake could leave on the host, as sorted lines.
host_state() {
	losetup -a | grep -F "$T" | sort
	cut -d' ' -f2 /proc/self/mounts | grep -F "$T" | sort
	find /sys/fs/cgroup -maxdepth 5 -name 'kiln*' 2>/dev/null | sort
	stat -c '%u:%g %a' /dev/null
	find "$work" -path "$work/store" -prune -o -type f -name '*.qcow2' -print -o -name '*.json' -path '*journal*' -print 2>/dev/null
	pgrep -f "$T/(base|work)" | sort
}
clean() { # after the tool ended; a killed tool's children may take a moment to go
	local i
	for i in $(seq 100); do
		host_state >"$T/now"
		cmp -s "$T/before" "$T/now" && return 0
		read -r -t 0.05 <>"$T/fifo"
	done
	diff "$T/before" "$T/now"
}

mkfifo "$T/fifo"
echo secret >"$canary"
make_root || { echo "not ok executor_root"; exit 1; }
mkdir -p "$work"
host_state >"$T/before"

# --- one command, files, snapshot ---
printf '#!/bin/sh\necho "script $0 $(id -u)"; test ! -w "$0"\n' >"$T/script.sh"
head -c 100000 /dev/urandom >"$T/blob"
x run 'echo hello; echo oops >&2; exit 7' \
	file script.sh "$T/script.sh" run '/run/kiln/script.sh' \
	put "$T/blob" /etc/blob 4755 33 run 'stat -c "%a %u %g" /etc/blob; ls /root /run' \
	get /etc/blob "$T/blob.back" run '/nonexistent' run 'env; pwd; cat /proc/self/status' >"$T/out" 2>&1
check exit_status has 'run ok exit=7' "$T/out"
check both_streams has '^err oops' "$T/out"
check step_file has '^out script /run/kiln/script.sh 0' "$T/out"
check put_mode_owner has '^out 4755 33 33' "$T/out"
check get_same cmp "$T/blob" "$T/blob.back"
check not_found_127 has 'run ok exit=127' "$T/out"
check fixed_environment has '^out DEBIAN_FRONTEND=noninteractive' "$T/out"
check host_environment_hidden hasnt '^out KILN' "$T/out"
check clean_after_run clean

ln -s / "$T/root-link" 2>/dev/null
x run 'ln -s /etc /root/e; ln -s ../../../../../.. /root/up; mkdir /etc/d' put "$T/blob" "/root/up$T/put-escape" 0644 0 >"$T/out" 2>&1
check put_stays_inside has 'error put' "$T/out"
check put_wrote_nothing test ! -e "$T/put-escape"
x put "$T/blob" relative 0644 0 >"$T/out" 2>&1
check put_needs_absolute has 'absolute path' "$T/out"
x get /nowhere "$T/none" >"$T/out" 2>&1
check get_missing has 'error get: /nowhere' "$T/out"

# --- snapshots: content, and what was deleted is gone from the disk ---
x run 'echo CANARY-b7a6d1-PRESENT >/root/kept' snapshot restore "$T/a.raw" >"$T/out" 2>&1
check snapshot has '^snapshot ' "$T/out"
check control_canary_found grep -qa CANARY-b7a6d1-PRESENT "$T/a.raw"
x run 'mkdir /root/d; for i in $(seq 300); do echo CANARY-b7a6d1-$i >/root/d/name-canary-$i; done; dd if=/dev/zero bs=1k count=700 2>/dev/null | tr "\0" C >/root/d/big; sync; rm -rf /root/d' \
	snapshot restore "$T/a.raw" >"$T/out" 2>&1
check deleted_content_zeroed status 1 grep -qa CANARY-b7a6d1 "$T/a.raw"
check deleted_names_zeroed status 1 grep -qa name-canary "$T/a.raw"
check deleted_blocks_zeroed status 1 grep -qa CCCCCCCCCCCCCCCC "$T/a.raw"
check file_system_clean e2fsck -fn "$T/a.raw?offset=$part"
# Deleted in a later step than it was written, between files that stay.
x run 'mkdir /root/d; for i in $(seq 200); do echo KEPT-$i >/root/d/k$i; echo SECRET-5c1e9a-$i >/root/d/s$i; done' snapshot \
	restore "$T/a.raw" run 'rm /root/d/s*' snapshot restore "$T/b.raw" run 'cat /root/d/k*' >"$T/out" 2>&1
check control_secret_found grep -qa SECRET-5c1e9a "$T/a.raw"
check deleted_later_zeroed status 1 grep -qa SECRET-5c1e9a "$T/b.raw"
check neighbours_kept test "$(grep -c '^out KEPT' "$T/out")" = 200
check neighbours_clean e2fsck -fn "$T/b.raw?offset=$part"
rm -f "$T/b.raw"
x run 'echo 1 >/root/1' snapshot run 'echo 2 >/root/2' snapshot run 'cat /root/1 /root/2; rm /root/1' snapshot restore "$T/a.raw" >"$T/out" 2>&1
check chain_of_snapshots test "$(grep -c '^snapshot ' "$T/out")" = 3
check chain_content test "$(debugfs -R 'cat /root/2' "$T/a.raw?offset=$part" 2>/dev/null)" = 2
check chain_removed test -z "$(debugfs -R 'cat /root/1' "$T/a.raw?offset=$part" 2>/dev/null)"
check chain_clean e2fsck -fn "$T/a.raw?offset=$part"
x grow 3221225472 run 'stat -f -c "%b %S" /' snapshot restore "$T/a.raw" >"$T/out" 2>&1
check grow_size awk '/^out/ {exit !($2 * $3 > 3.0e9)}' "$T/out"
check grow_table sfdisk --verify "$T/a.raw"
check grow_clean e2fsck -fn "$T/a.raw?offset=$part"
rm -f "$T/a.raw"
check clean_after_snapshots clean

# --- limits ---
x timeout 1500 run 'trap "" TERM INT HUP; while :; do sleep 1000; done' >"$T/out" 2>&1
check timeout_kills has 'run failed.*timeout=1' "$T/out"
x run '(trap "" TERM; setsid sh -c "trap \"\" TERM; cd /root; sleep 1000" >/dev/null 2>&1 &) ; echo started' snapshot >"$T/out" 2>&1
check daemon_is_ended has '^snapshot ' "$T/out"
check clean_after_daemon clean
x timeout 4000 run 'b() { b | b & }; b; sleep 60' run 'echo after' >"$T/out" 2>&1
check fork_bomb has '^out after' "$T/out"
x run 'yes ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 | head -c 200000000; echo end' >"$T/out" 2>&1
check huge_output has 'run ok exit=0.*dropped=[1-9]' "$T/out"
x run 'perl -e "print qq(x) x 3000000"' >"$T/out" 2>&1
check long_line has 'run ok exit=0' "$T/out"
for ms in 1 20 60 150 400; do
	x cancel $ms run 'trap "" TERM; sleep 1000' >"$T/out" 2>&1
	check "cancel_${ms}ms" has 'run failed' "$T/out"
done
x run 'dd if=/dev/zero of=/root/fill bs=1M 2>/dev/null; echo full $?; rm /root/fill' snapshot >"$T/out" 2>&1
check full_disk has '^out full 1' "$T/out"
check full_disk_snapshot has '^snapshot ' "$T/out"
check clean_after_limits clean

# --- images that cannot be used ---
head -c 67108864 /dev/zero >"$T/nogpt.raw"
mkdir -p "$T/w2"
timeout 60 "$tool" "$T/nogpt.raw" "$T/w2" run true >"$T/out" 2>&1
check no_gpt has 'error attach: partition table' "$T/out"
cp --sparse=always "$T/base.raw" "$T/noext4.raw"
dd if=/dev/zero of="$T/noext4.raw" bs=1k seek=$((part / 1024)) count=8 conv=notrunc 2>/dev/null
timeout 60 "$tool" "$T/noext4.raw" "$T/w2" run true >"$T/out" 2>&1
check no_ext4 has 'no ext4 root partition' "$T/out"
check clean_after_bad_images clean
rm -f "$T/noext4.raw" "$T/nogpt.raw"

# --- kill -9 of the caller at any moment ---
for ms in 10 30 60 100 150 250 400 700; do
	"$tool" "$T/base.raw" "$work" run 'dd if=/dev/zero of=/root/f bs=64k count=200 2>/dev/null' snapshot \
		run 'sleep 0.2; echo x >/root/g' snapshot run 'sleep 1000' >"$T/out" 2>&1 &
	pid=$!
	read -r -t "$(printf '0.%03d' $ms)" <>"$T/fifo"
	kill -9 $pid
	wait $pid 2>/dev/null
	x run 'echo again' >"$T/out" 2>&1
	check "kill9_${ms}ms_runs_again" has '^out again' "$T/out"
	check "kill9_${ms}ms_clean" clean
done

# --- network ---
web=$T/web
mkdir -p "$web"
perl -MIO::Socket::INET -e '
	$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 9, ReuseAddr => 1) or die;
	open F, ">", $ARGV[0] . ".tmp"; print F $s->sockport; close F; rename $ARGV[0] . ".tmp", $ARGV[0];
	while ($c = $s->accept) {
		$r = ""; while (($l = <$c>) && $l ne "\r\n") { $r .= $l }
		print $c "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nWEB $r"; close $c;
	}' "$web/port" &
server=$!
for _ in $(seq 100); do
	[ -s "$web/port" ] && break
	read -r -t 0.05 <>"$T/fifo"
done
port=$(cat "$web/port")
host_state >"$T/before"
get='ask() { perl -MIO::Socket::INET -e '"'"'$s=IO::Socket::INET->new("127.0.0.1:3128") or die "no proxy\n"; $s->autoflush; print $s "$ARGV[0]\r\n$ARGV[1]\r\n\r\n"; if ($ARGV[2]) { print scalar <$s>; print $s "GET $ARGV[2] HTTP/1.0\r\n\r\n" } print <$s>'"'"' "$@"; echo; }; '
export KILN_ALLOW="localhost:$port 127.0.0.1:$port 10.1.2.3:80 *.internal:80" KILN_TRUSTED="localhost:$port"
x net "${get}"'ask "GET http://localhost:'"$port"'/one HTTP/1.1" "Host: evil.example"' >"$T/out" 2>&1
check proxy_get has '^out WEB GET /one HTTP/1.1' "$T/out"
check proxy_sets_host has "^out Host: localhost:$port" "$T/out"
x net "${get}"'ask "CONNECT localhost:'"$port"' HTTP/1.1" "Host: x" /tunnel' >"$T/out" 2>&1
check proxy_connect has '200 Connection established' "$T/out"
check proxy_tunnel has 'WEB GET /tunnel' "$T/out"
i=0
while read -r what line; do
	i=$((i + 1))
	x net "${get}ask \"$line HTTP/1.1\" 'Host: x'" >"$T/out" 2>&1
	check "proxy_refuses_$what" has 'HTTP/1.1 40[03]' "$T/out"
done <<-EOF
not_listed GET http://example.com/
not_listed_connect CONNECT example.com:443
other_port GET http://localhost:1/
loopback_not_trusted GET http://127.0.0.1:$port/
private GET http://10.1.2.3/
metadata GET http://169.254.169.254/latest/
metadata_decimal GET http://2852039166/
metadata_octal GET http://0251.0376.0251.0376/
mapped_v6 GET http://[::ffff:127.0.0.1]:$port/
v6_loopback GET http://[::1]:$port/
userinfo GET http://localhost:$port@example.com/
userinfo2 GET http://example.com@localhost:$port/
https_absolute GET https://localhost:$port/
relative GET /etc/passwd
file_scheme GET file:///etc/passwd
star CONNECT *.internal:80
connect_no_port CONNECT localhost
bare_suffix GET http://.internal/
EOF
x net "${get}"'ask "GET http://example.com/ HTTP/1.1" "Host: x"' >"$T/out" 2>&1
check proxy_denial_event has '^event .*networkDenied.*example.com' "$T/out"
check proxy_denial_says_how has 'properties.kiln.network.allow' "$T/out"
x net "${get}"'ask "GET http://localhost:'"$port"'/a HTTP/1.1" "Content-Length: 0
Content-Length: 9"' >"$T/out" 2>&1
check proxy_refuses_two_lengths has 'HTTP/1.1 400' "$T/out"
x run "${get}"'ask "GET http://localhost:'"$port"'/one HTTP/1.1" "Host: x"' >"$T/out" 2>&1
check no_network_by_default has 'no proxy' "$T/out"
x net 'tail -n +3 /proc/net/dev' >"$T/out" 2>&1
check network_is_loopback_only test "$(grep -c '^out' "$T/out")" = 1
KILN_ALLOW='ba*d:80' x net true >"$T/out" 2>&1
check bad_allow_entry has 'network.allow' "$T/out"
check clean_after_network clean

# --- escapes ---
perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0); bind(S,pack_sockaddr_un("\0'"$sock"'")) or die; listen S,5; open F,">",$ARGV[0]; close F; while(accept(C,S)){close C}' "$T/sock.ready" &
listener=$!
for _ in $(seq 100); do
	[ -e "$T/sock.ready" ] && break
	read -r -t 0.05 <>"$T/fifo"
done
mkdir -p "$T/bind"
{
	echo 'set +e'
	grep -v '^#' "$SRC/tests/integration/executor_escapes.txt" | sed "s|@CANARY@|$canary|g; s|@SOCK@|$sock|g" |
		while IFS=$'\t' read -r name script; do
			printf '( %s ) >/dev/null 2>&1 </dev/null\necho "RESULT %s $?"\n' "$script" "$name"
		done
} >"$T/battery.sh"
# Control: the same root and scripts, each in namespaces of its own to spare this machine, but not
# confined. What touches the network's state gets a network of its own too.
cat >"$T/control.sh" <<EOF
mount --bind $T/root $T/bind
mount --rbind /dev $T/bind/dev
mount -t proc proc $T/bind/proc
mount --rbind /sys $T/bind/sys
exec chroot $T/bind /bin/sh -c "\$1"
EOF
mkdir -p "$T/root$T"
cp "$canary" "$T/root$canary"
grep -v '^#' "$SRC/tests/integration/executor_escapes.txt" | sed "s|@CANARY@|$canary|g; s|@SOCK@|$sock|g" |
	while IFS=$'\t' read -r name script; do
		net=()
		case $name in netlink-*) net=(--net) ;; esac
		timeout 20 unshare --mount --pid --fork --ipc --uts --cgroup --kill-child "${net[@]}" \
			sh "$T/control.sh" "$script" >/dev/null 2>&1 </dev/null
		echo "RESULT $name $?"
	done >"$T/control"
rm -rf "$T/root/tmp"
x file battery.sh "$T/battery.sh" run 'sh /run/kiln/battery.sh' >"$T/out" 2>&1
worked=0
while read -r _ name code; do
	inside=$(sed -n "s/^out RESULT $name //p" "$T/out")
	[ "$code" = 0 ] && worked=$((worked + 1))
	check "escape_$name" test -n "$inside" -a "$inside" != 0
done < <(grep '^RESULT ' "$T/control")
check escapes_all_ran test "$(grep -c '^out RESULT' "$T/out")" = "$(grep -cv '^#' "$SRC/tests/integration/executor_escapes.txt")"
echo "# $worked of $(grep -c '^RESULT ' "$T/control") attempts work without a sandbox on this host"
check controls_work test "$worked" -ge 70
kill $server $listener
wait $server $listener 2>/dev/null
exit 0 # not that of the two that were ended
