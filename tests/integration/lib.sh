#!/bin/bash
# Shared by the suites: `. "$SRC/tests/integration/lib.sh"`. Expects SRC, KILN, KILN_DATA, WORK.
# shellcheck shell=bash disable=SC2034
set -uo pipefail
: "${SRC:?}" "${KILN:?}" "${KILN_DATA:?}" "${WORK:?}"
G=/resourceGroups/golden
GAL=$G/providers/Microsoft.Compute/galleries/golden
TPL=$G/providers/Microsoft.VirtualMachineImages/imageTemplates
T=$(mktemp -d "$WORK/t.XXXXXX")

# check NAME COMMAND...: one test. Its output is shown when it fails.
check() {
	local name=$1
	shift
	if "$@" >"$T/check.out" 2>&1; then
		echo "ok $name"
	else
		tail -n 40 "$T/check.out" | sed 's/^/  | /'
		echo "not ok $name"
	fi
}

# status WANT COMMAND...: succeeds when the command's exit status is WANT.
status() {
	local want=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" = "$want" ] || { echo "exit status $got, expected $want"; return 1; }
}

same() { # EXPECTED GOT
	[ "$1" = "$2" ] || { printf 'expected: %s\n     got: %s\n' "$1" "$2"; return 1; }
}

# What must not be left: one sorted line a thing. Everything kiln makes names its data directory,
# its run directory, or is kept in the journal.
leftovers() {
	local run
	run=/run/kiln/$(printf %s "$KILN_DATA" | sha256sum | cut -c1-8)
	grep -F -e "$KILN_DATA" -e "$run" /proc/self/mounts | cut -d' ' -f2 | sed 's/^/mount /'
	for f in /sys/block/loop*/loop/backing_file; do
		[ -e "$f" ] && grep -F -e "$KILN_DATA" -e "$run" "$f" | sed 's/^/loop /'
	done
	for p in /proc/[0-9]*; do
		{ tr "\0" " " <"$p/cmdline"; } 2>/dev/null | grep -F -e "$KILN_DATA" -e "$run" |
			sed "s,^,process ${p#/proc/} ,"
	done
	find "$KILN_DATA/journal" -name '*.json' -printf 'journal %f\n' 2>/dev/null
	find "$KILN_DATA/scratch" "$KILN_DATA"/regions/*/tmp -mindepth 1 -maxdepth 1 -printf 'scratch %p\n' 2>/dev/null
	find /sys/fs/cgroup -type d -name 'kiln-*' -printf 'cgroup %p\n' 2>/dev/null
	ls -d "$run"/exports/* 2>/dev/null | sed 's/^/export /'
}
nothing_left() {
	local left
	left=$(leftovers)
	[ -z "$left" ] || { echo "$left"; return 1; }
}

# The gallery that the suites share; made once.
setup_gallery() {
	"$KILN" rest GET "$GAL/images/debian-12" --api-version 2023-07-03 >/dev/null 2>&1 && return 0
	local put=("$KILN" rest PUT)
	echo '{"location":"eastus"}' | "${put[@]}" "$G" --api-version 2021-04-01 --body - >/dev/null &&
	echo '{"location":"eastus"}' | "${put[@]}" "$GAL" --api-version 2023-07-03 --body - --wait >/dev/null &&
	definition debian-12
}
definition() { # NAME
	printf '{"location":"eastus","properties":{"osType":"Linux","osState":"Generalized",
	  "hyperVGeneration":"V2","architecture":"x64",
	  "features":[{"name":"SecurityType","value":"TrustedLaunchSupported"}],
	  "identifier":{"publisher":"Golden","offer":"debian","sku":"%s"}}}' "$1" |
		"$KILN" rest PUT "$GAL/images/$1" --api-version 2023-07-03 --body - --wait >/dev/null
}
subscription() {
	jq -r .subscriptionId "$KILN_DATA/admin.json"
}

# template NAME VERSION_OR_EMPTY STEPS_JSON [VALIDATORS_JSON]: writes $T/NAME.json.
template() {
	jq -n --arg sub "$(subscription)" --arg image "${DEF:-debian-12}" --arg v "$2" --argjson steps "$3" \
		--argjson val "${4:-[]}" --arg out "$1" '
	{type: "Microsoft.VirtualMachineImages/imageTemplates", location: "eastus", properties: ({
	  source: {type: "PlatformImage", publisher: "Debian", offer: "debian-12", sku: "12-gen2", version: "latest"},
	  customize: $steps,
	  distribute: [{type: "SharedImage", runOutputName: $out,
	    galleryImageId: ("/subscriptions/\($sub)/resourceGroups/golden/providers/Microsoft.Compute/galleries/golden/images/\($image)"
	      + (if $v == "" then "" else "/versions/\($v)" end)),
	    targetRegions: [{name: "eastus"}]}]}
	  + (if $val == [] then {} else {validate: {inVMValidations: $val}} end))}' >"$T/$1.json"
}

# long_part LOG NAME COMMAND...: one part of a long run. Its end is noted in tests/results/LOG.log with
# the commit, its last line of output and its seconds; a part that passed at this commit is not done
# again, so a run that was stopped goes on.
long_part() {
	local log=$SRC/tests/results/$1.log name=$2 commit start=$SECONDS got=0
	shift 2
	commit=$(git -C "$SRC" rev-parse --short HEAD)
	mkdir -p "$SRC/tests/results"
	grep -qs "^$commit $name status 0 " "$log" && { echo "ok $name"; return; }
	"$@" >"$T/part.out" 2>&1 || got=$?
	echo "$commit $name status $got seconds $((SECONDS - start)): $(tail -n 1 "$T/part.out")" >>"$log"
	[ $got = 0 ] && { echo "ok $name"; return; }
	tail -n 40 "$T/part.out" | sed 's/^/  | /'
	echo "not ok $name"
}
