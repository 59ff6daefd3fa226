#!/bin/sh
# The loaded rules drop by default and let in SSH and HTTP.
rules=$(nft list ruleset) || exit 1
for part in 'hook input priority filter; policy drop' 'hook forward priority filter; policy drop' '22, 80'; do
	case $rules in
	*"$part"*) echo "ok $part" ;;
	*)
		printf '%s\n' "$rules"
		echo "missing: $part"
		exit 1
		;;
	esac
done
