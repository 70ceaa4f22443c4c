#!/bin/sh
# Sets an interface and its host up for capture: a thin caller of `netmoth tune IFACE --apply`.
set -eu
if [ $# -ne 1 ] || [ "$1" = --help ] || [ "$1" = -h ]; then
    cat >&2 <<'USAGE'
usage: scripts/optimize_system.sh IFACE

Changes what `netmoth tune IFACE` lists (it changes nothing itself; look at it first), and remembers what was:
`netmoth tune IFACE --undo` puts it back. NETMOTH names the binary where it is not in the PATH. As root.
USAGE
    exit 2
fi
exec "${NETMOTH:-netmoth}" tune "$1" --apply
