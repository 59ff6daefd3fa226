#!/bin/sh -e
# The only step with a network: it reaches the image's own package archives and nothing else.
apt-get -q update
apt-get -q -y -o Dpkg::Options::=--force-confold full-upgrade
apt-get -q -y --no-install-recommends install \
	auditd nftables nginx-light unattended-upgrades
apt-get clean
