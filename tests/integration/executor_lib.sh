#!/bin/bash
# Shared by the suites of the container executor: a small disk and the tool that drives it.
# shellcheck shell=bash disable=SC2034,SC2016
tool=${EXECUTOR_TOOL:-$SRC/${BUILD:-build}/tests/unit/bake/bake-executor-tool}
if [ "$(id -u)" != 0 ] || [ ! -e /dev/loop-control ] || [ ! -e /dev/fuse ]; then
	echo "skip executor: needs root, loop devices and FUSE"
	exit 0
fi
export KILN_EXE=$tool
part=$((69632 * 512)) # where the root partition begins
work=$T/work

# A root with a shell, coreutils and perl of this machine, on a GPT disk.
make_root() {
	local root=$T/root f lib
	mkdir -p "$root"/{proc,sys,dev,run,tmp,root,mnt,etc,usr/bin,usr/sbin,usr/lib,var/log,var/tmp,home}
	chmod 1777 "$root/tmp" "$root/var/tmp"
	ln -s usr/bin "$root/bin"
	ln -s usr/sbin "$root/sbin"
	ln -s usr/lib "$root/lib"
	for f in sh bash cat ls cp mv rm mkdir chmod chown ln sync dd seq test id sleep head tail grep perl \
		readlink setsid env touch printf stat yes tr wc true false kill; do
		cp -L "$(type -P $f)" "$root/usr/bin/$f"
	done
	mkdir -p "$root/lib64"
	for f in "$root"/usr/bin/*; do ldd "$f" 2>/dev/null; done |
		grep -o '/[^ ]*' | sort -u | while read -r lib; do
		mkdir -p "$root/$(dirname "$lib")"
		cp -L "$lib" "$root/$lib"
	done
	perl -e 'print join("\n", @INC)' | grep perl-base | while read -r lib; do
		mkdir -p "$root/$(dirname "$lib")"
		cp -a "$lib" "$root/$lib"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n' >"$root/etc/passwd"
	printf 'root:*:19000:0:99999:7:::\n' >"$root/etc/shadow"
	printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="test"\n' >"$root/etc/os-release"
	truncate -s 1G "$T/base.raw"
	sfdisk -q "$T/base.raw" <<-EOF
	label: gpt
	start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=bios
	start=4096, size=65536, type=C12A7328-F81F-11D2-BA4B-00C04FFB4C1B, name=esp
	start=69632, size=2025472, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root
	EOF
	mke2fs -q -t ext4 -L root -d "$root" -E "offset=$part,root_owner=0:0" "$T/base.raw" 1012736k
}

x() { # OPERATION...: a fresh chain
	mkdir -p "$work"
	chmod 700 "$work"
	timeout 120 "$tool" "$T/base.raw" "$work" "$@"
}

has() { # PATTERN FILE
	grep -q -e "$1" "$2" || { cat "$2"; return 1; }
}
hasnt() {
	! grep -q -e "$1" "$2" || { grep -e "$1" "$2"; return 1; }
}

