#!/bin/sh
# Every setting of our file is in force in the running kernel; no listed module can be loaded.
bad=0
while read -r key _ value; do
	case $key in '' | '#'*) continue ;; esac
	now=$(sysctl -n "$key" 2>&1)
	if [ "$now" != "$value" ]; then
		echo "$key is $now, not $value"
		bad=1
	fi
done < /etc/sysctl.d/99-zz-hardening.conf
grep -c = /etc/sysctl.d/99-zz-hardening.conf | sed 's/$/ settings compared/'
for module in cramfs hfs udf usb-storage sctp; do
	case $(modprobe -n -v "$module" 2>&1) in
	*/bin/false*) ;;
	*"not found"*) ;;
	*)
		echo "module $module could be loaded"
		bad=1
		;;
	esac
done
exit $bad
