#!/bin/sh
# The image documents itself, and the list of packages is true.
set -e
# shellcheck source=/dev/null
. /etc/golden-image
grep -q "^# $NAME $VERSION\$" /usr/share/doc/golden-image/README.md
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | sort > /run/packages.now
cmp /run/packages.now /usr/share/doc/golden-image/packages.txt
echo "$NAME $VERSION: $(wc -l < /run/packages.now) packages, as documented"
