#!/bin/bash
# Installs the programs that stand in a list (on standard input: program, Debian package) and are not here yet.
# With --for-tests the list is that of the tests, with --for-benches that of the programs that benchmarks measure beside
# Netmoth (what the configured sources haven't is taken from Debian's backports; services that come with them are switched off). Says what it installs; does nothing where all is there.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

root=()
[ "$(id -u)" = 0 ] || root=(sudo)

for_tests() {
    cat <<'LIST'
cc gcc
cc libc6-dev
bpftool bpftool
busybox busybox
capinfos tshark
tshark tshark
curl curl
dig bind9-dnsutils
dnsmasq dnsmasq-base
ethtool ethtool
ip iproute2
iperf3 iperf3
ping iputils-ping
prlimit util-linux
setpriv util-linux
sysctl procps
sqlite3 sqlite3
strace strace
systemd-analyze systemd
tcpdump tcpdump
LIST
}

for_benches() {
    cat <<'LIST'
nfpcapd nfdump
softflowd softflowd
argus argus-server
racount argus-client
pmacctd pmacct
suricata suricata
LIST
}

# Whether the configured sources have a package.
is_had() { apt-cache policy "$1" | grep -q 'Candidate: [^(]'; }

# Installs packages from the backports of this Debian, by lists that are used this once: the machine's own sources stay what they are.
from_backports() {
    local name lists mirror=http://deb.debian.org/debian
    name=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME") || {
        echo "not in the configured sources, and this is no Debian with backports: $*" >&2
        return 0
    }
    lists=$(mktemp -d)
    # apt reads them as a user of its own.
    chmod 755 "$lists"
    mkdir -p "$lists/lists/partial"
    printf "deb $mirror %s main\n" "$name" "$name-backports" >"$lists/sources"
    echo "installing from Debian's $name-backports: $*" >&2
    local options=(-qq -o "Dir::Etc::SourceList=$lists/sources" -o Dir::Etc::SourceParts=/nonexistent -o "Dir::State::Lists=$lists/lists")
    "${root[@]}" apt-get "${options[@]}" update
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install -y --no-install-recommends -t "$name-backports" "$@" >/dev/null
    rm -rf "$lists"
    switch_off "$@"
}

# Benchmarks start these programs themselves: none is to capture on its own.
switch_off() {
    local package unit
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        for unit in $(dpkg -L "$package" | sed -n 's|.*/systemd/system/\([^/@]*\.service\)$|\1|p'); do
            "${root[@]}" systemctl disable --now "$unit" >/dev/null 2>&1 || true
        done
    done
}

missing() {
    local program package
    while read -r program package; do
        command -v "$program" >/dev/null || echo "$package"
    done | sort -u
}

if [ "${1:-}" = --for-tests ]; then
    # PostgreSQL's server is not on the path.
    wanted=$(for_tests | missing; compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql)
elif [ "${1:-}" = --for-benches ]; then
    wanted=$(for_benches | missing)
    if [ -n "$wanted" ] && command -v apt-get >/dev/null; then
        "${root[@]}" apt-get update -qq
        elsewhere=()
        here=()
        for package in $wanted; do
            if is_had "$package"; then here+=("$package"); else elsewhere+=("$package"); fi
        done
        [ ${#elsewhere[@]} = 0 ] || from_backports "${elsewhere[@]}"
        wanted=${here[*]-}
    fi
else
    wanted=$(missing)
fi
wanted=$(echo "$wanted" | tr '\n' ' ' | sed 's/^ *//; s/ *$//')
[ -n "$wanted" ] || exit 0
if [ "${1:-}" = --for-tests ] && [ "$(id -u)" != 0 ]; then
    echo "not here, and the tests that use them need root anyway: $wanted" >&2
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "this machine has no apt-get: install these by hand: $wanted" >&2
    exit 1
fi
echo "installing from Debian: $wanted" >&2
# shellcheck disable=SC2086 # one argument a package
"${root[@]}" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null' sh $wanted
# shellcheck disable=SC2086 # one argument a package
[ "${1:-}" != --for-benches ] || switch_off $wanted
