#!/bin/sh
# need.sh COMMAND:PACKAGE[,PACKAGE] ..  Makes sure that commands, or files, are
# there: as root on Debian it installs their packages, elsewhere it names them and
# fails.
set -u
PATH="$PATH:/usr/sbin:/sbin"
missing=""
for want in "$@"; do
	[ -f "${want%%:*}" ] || command -v "${want%%:*}" >/dev/null 2>&1 || missing="$missing $(echo "${want#*:}" | tr , ' ')"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$missing" >&2
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # a list of packages
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/tmp/need.log 2>&1 && exit 0
	cat /tmp/need.log >&2
	echo "need.sh: could not install$missing" >&2
	exit 1
fi
echo "missing; as root: apt-get install -y$missing" >&2
exit 1
