#!/usr/bin/env bash
# Installs what the demo and the tests use beside Go: Debian's packages, by apt-get, as root or through sudo. It prints what
# it installs and why. Where that is impossible it prints one sentence and ends with status 1.
#
#   tools/setup.sh            for `make demo` and `make dev`
#   tools/setup.sh --tests    and for `make test`
#   tools/setup.sh --ci       and for the whole gate
set -euo pipefail

missing=()
need() { # PACKAGE REASON COMMAND...: the package is missing when the command fails
	local package=$1 reason=$2
	shift 2
	"$@" >/dev/null 2>&1 && return
	missing+=("$package")
	echo "installing $package: $reason"
}

need gcc "Go builds parts of the embedded servers with it" command -v gcc
need git "Go reads the version from it" command -v git
need bubblewrap "code steps run in its sandboxes" command -v bwrap
need python3 "code steps are Python" test -x /usr/bin/python3
need python3-requests "code steps may use it" /usr/bin/python3 -c 'import requests'
need ca-certificates "code steps check servers by them" test -e /etc/ssl/certs/ca-certificates.crt
if [ "${1:-}" = --tests ] || [ "${1:-}" = --ci ]; then # Debian keeps the servers out of PATH.
	need prometheus "metrics and alerts are checked with promtool" command -v promtool
	need nodejs "a test runs the engine of examples/engines/node" command -v node
	need postgresql "the fault drill runs Temporal on it" compgen -G '/usr/lib/postgresql/*/bin/initdb'
	need mariadb-server-core "code steps are tested with it" test -x /usr/sbin/mariadbd
	need mariadb-client-core "it has what mariadb-install-db needs" test -x /usr/bin/my_print_defaults
	need redis-server "code steps are tested with it" command -v redis-server
	need nodejs "the examples of integrators are tested with it" command -v node
	need php-cli "the examples of integrators are tested with it" command -v php
	for client in psycopg2 pymysql redis; do
		need "python3-$client" "code steps are tested with it" /usr/bin/python3 -c "import $client"
	done
fi
if [ "${1:-}" = --ci ]; then
	need curl "the documentation's commands use it" command -v curl
	need npm "the documents in schemas/ are checked by other people's tools" command -v npm
fi
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo --non-interactive)
export DEBIAN_FRONTEND=noninteractive
apt_get() { "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5 --quiet "$@"; }

# The lock of the package lists does not have a timeout, and a machine that has just started may be updating them itself.
update() {
	local try message
	for try in {1..60}; do
		message=$(LC_ALL=C apt_get update 2>&1) && return
		[[ $message == *"Could not get lock"* ]] || break
		echo "try $try of 60: the package lists are locked, waiting 10 s" >&2
		sleep 10
	done
	echo "$message" >&2
	return 1
}

if ! { command -v apt-get && "${as_root[@]}" true && update &&
	apt_get install --yes --no-install-recommends "${missing[@]}"; } >/dev/null; then
	echo "cannot install ${missing[*]}: install them by hand (Debian: apt-get install ${missing[*]})" >&2
	exit 1
fi
