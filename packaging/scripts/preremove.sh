#!/bin/sh
# Removing stops the service and keeps the data. $1 is "remove" or "upgrade"
# (deb), 0 or 1 (rpm).
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl --quiet disable --now cloister.service || true
	fi
	;;
esac
