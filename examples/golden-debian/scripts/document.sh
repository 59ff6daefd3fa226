#!/bin/sh -e
# What the image is, inside the image: a page, the list of packages, two lines for programs.
mkdir -p /usr/share/doc/golden-image
mv /usr/share/doc/golden-image.md /usr/share/doc/golden-image/README.md
sed -i "s/@NAME@/$IMAGE_NAME/g; s/@VERSION@/$IMAGE_VERSION/g" /usr/share/doc/golden-image/README.md
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | sort > /usr/share/doc/golden-image/packages.txt
printf 'NAME=%s\nVERSION=%s\n' "$IMAGE_NAME" "$IMAGE_VERSION" > /etc/golden-image
echo "$(wc -l < /usr/share/doc/golden-image/packages.txt) packages documented"
