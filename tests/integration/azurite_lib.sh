#!/bin/bash
# Microsoft's storage emulator, installed as pinned, on loopback: for suites that source lib.sh first.
# shellcheck shell=bash
# azurite_start sets AZURITE_PORT; it returns 1 after a "skip" line where it cannot be installed.
AZURITE_KEY='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

azurite_start() { # SUITE
	local dir=$WORK/azurite # shared by the suites of one run
	command -v npm >/dev/null || apt-get install -qy --no-install-recommends npm >"$T/apt.out" 2>&1
	if [ ! -e "$dir/installed" ]; then
		mkdir -p "$dir"
		cp "$SRC"/tests/clients/emulator/{package.json,package-lock.json,.npmrc} "$dir/"
		if ! (cd "$dir" && timeout 300 npm ci --ignore-scripts --omit=optional >npm.out 2>&1); then
			tail -n 5 "$dir/npm.out" | sed 's/^/  | /'
			echo "skip $1: the storage emulator cannot be installed here"
			return 1
		fi
		touch "$dir/installed"
	fi
	mkfifo "$T/azurite.out"
	(cd "$T" && exec node "$dir/node_modules/azurite/dist/src/blob/main.js" --blobHost 127.0.0.1 --blobPort 0 \
		--location "$T/azurite" --skipApiVersionCheck >"$T/azurite.out" 2>&1) &
	AZURITE_PID=$!
	exec {AZURITE_FD}<"$T/azurite.out"
	while IFS= read -r line <&"$AZURITE_FD"; do
		case $line in *"successfully listens on"*)
			AZURITE_PORT=${line##*:}
			cat <&"$AZURITE_FD" >"$T/azurite.log" &
			AZURITE_CAT=$!
			return 0 ;;
		esac
		echo "  | $line"
	done
	echo "not ok $1: the storage emulator did not start"
	return 1
}

azurite_stop() {
	kill "$AZURITE_PID"
	wait "$AZURITE_PID" "$AZURITE_CAT" 2>/dev/null
	exec {AZURITE_FD}<&-
}

# A container as a region: azurite_region NAME prints its URL.
azurite_region() {
	cat >"$T/$1.json" <<END
{"container": "http://127.0.0.1:$AZURITE_PORT/devstoreaccount1/$1", "account": "devstoreaccount1", "accountKey": "$AZURITE_KEY"}
END
	chmod 600 "$T/$1.json"
	echo "azure-blob://$T/$1.json"
}
