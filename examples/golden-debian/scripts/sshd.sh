#!/bin/sh -e
# The merged configuration must be valid now: a bad one would only show when nobody can log in.
# The image has no host keys (each machine makes its own), so a key of this step stands in.
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f /run/step-hostkey
/usr/sbin/sshd -t -h /run/step-hostkey
# CIS: the server's configuration is root's alone.
chmod 0600 /etc/ssh/sshd_config /etc/ssh/sshd_config.d/10-hardening.conf
