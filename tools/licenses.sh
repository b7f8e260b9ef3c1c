#!/usr/bin/env bash
# Copies the license texts of every module that is linked into the programs, and of Go itself, below OUT/<module>. Each
# module must have one.
#
#   tools/licenses.sh OUT
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: tools/licenses.sh OUT}

# Modules without a file of their own: their repository's license covers them.
declare -A covered=(
	[github.com/nexus-rpc/nexus-proto-annotations]="MIT, see https://github.com/nexus-rpc"
)

copy() { # NAME DIRECTORY
	mkdir -p "$out/$1"
	find "$2" -maxdepth 1 -type f -iregex '.*/\(license\|licence\|copying\|notice\|patents\|copyright\)[^/]*' \
		-exec cp --no-preserve=mode {} "$out/$1/" \;
	[ -z "$(ls "$out/$1")" ] || return 0
	[ -n "${covered[$1]:-}" ] || { echo "$1 has no license text in $2" >&2; return 1; }
	echo "${covered[$1]}" > "$out/$1/LICENSE"
}

copy github.com/hookturn/hookturn .
copy go "$(go env GOROOT)"
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./worker ./starter | sort -u |
	while read -r module dir; do copy "$module" "$dir"; done
echo "$(find "$out" -type f | wc -l) license texts in $out"
