#!/bin/sh
# The data in /var/lib/cloister and the user that owns it stay until the deb is
# purged; after an rpm is removed they stay for good.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/cloister /etc/cloister/conf.d
	rmdir --ignore-fail-on-non-empty /etc/cloister 2>/dev/null || true
	userdel cloister 2>/dev/null || true
fi
