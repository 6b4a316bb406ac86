#!/bin/sh
# Runs a command of Tailrace with the settings of the systemd unit: /usr/local/sbin/tailrace
#   tailrace token add anna
#   tailrace doctor
# Run it as root: the data folder belongs to the user of the unit, whom systemd makes up.
set -eu
umask 077
if [ -r /etc/tailrace/tailrace.env ]; then
    set -a
    . /etc/tailrace/tailrace.env
    set +a
fi
export TAILRACE_DATA_DIR="${TAILRACE_DATA_DIR:-/var/lib/tailrace}"
cd /opt/tailrace
exec .venv/bin/python -m app "$@"
