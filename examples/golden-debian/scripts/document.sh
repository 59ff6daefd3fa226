#!/bin/sh -e
# What the image is, inside the image: a page, the list of packages. The step before wrote name and
# version, so that a new version number runs these two steps alone.
# shellcheck source=/dev/null
. /etc/golden-image
mkdir -p /usr/share/doc/golden-image
mv /usr/share/doc/golden-image.md /usr/share/doc/golden-image/README.md
sed -i "s/@NAME@/$NAME/g; s/@VERSION@/$VERSION/g" \
	/usr/share/doc/golden-image/README.md /var/www/html/index.html
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | sort > /usr/share/doc/golden-image/packages.txt
echo "$(wc -l < /usr/share/doc/golden-image/packages.txt) packages documented"
