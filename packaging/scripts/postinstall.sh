#!/bin/sh
# A new installation is not started: its configuration is the operator's to
# write. An upgrade restarts what runs, if the new program accepts the
# configuration; otherwise the old one goes on.
set -e
mkdir -p /etc/cloister/conf.d /var/lib/cloister
chown root:cloister /etc/cloister /etc/cloister/conf.d
chmod 0750 /etc/cloister /etc/cloister/conf.d
chown cloister:cloister /var/lib/cloister
chmod 0750 /var/lib/cloister
if [ -f /etc/cloister/cloister.hcl ]; then
	chown root:cloister /etc/cloister/cloister.hcl
	chmod 0640 /etc/cloister/cloister.hcl
fi
running=no
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	if systemctl --quiet is-active cloister.service; then
		running=yes
	fi
fi
if [ "$running" = yes ]; then
	if cloister validate >/dev/null; then
		systemctl restart cloister.service
	else
		echo "cloister: the new version does not accept the configuration; the old one still runs. See: cloister validate" >&2
	fi
elif [ "$1" = configure ] && [ -z "$2" ] || [ "$1" = 1 ]; then
	cat <<-END
	Cloister is installed and not started. Next:
	  1. edit /etc/cloister/cloister.hcl
	  2. cloister validate --preflight
	  3. systemctl enable --now cloister
	  4. open the link in its log (journalctl -u cloister), or: cloister operator add NAME --role admin
	END
fi
