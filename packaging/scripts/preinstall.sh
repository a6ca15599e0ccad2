#!/bin/sh
# Makes the user before the files that belong to it are unpacked.
set -e
if ! getent group cloister >/dev/null; then
	groupadd --system cloister
fi
if ! getent passwd cloister >/dev/null; then
	useradd --system --gid cloister --home-dir /var/lib/cloister --no-create-home --shell /usr/sbin/nologin --comment Cloister cloister
fi
