#!/bin/bash
# Shows Netmoth at work on real traffic: two hosts and a tap, made of network namespaces, real programs between the
# hosts, and the sensor on the tap. Touches no interface of this machine, and removes what it made, also on Ctrl-C.
#
#   scripts/demo.sh            installs what is missing (Debian), builds, and runs
#   scripts/demo.sh BINARY     runs with a netmoth that is built already (as root)
set -euo pipefail
[ $# = 0 ] || set -- "$(realpath "$1")"
cd "$(dirname "$0")/.."

arrow='==>'
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then arrow=$'\033[1m==>\033[0m'; fi
say() { printf '%s %s\n' "$arrow" "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

programs() {
    cat <<'LIST'
cc gcc
cc libc6-dev
ip iproute2
sysctl procps
ethtool ethtool
busybox busybox
curl curl
dnsmasq dnsmasq-base
dig bind9-dnsutils
ping iputils-ping
iperf3 iperf3
LIST
}

if [ $# = 0 ]; then
    command -v cargo >/dev/null || fail "cargo is not here: install Rust first (https://rustup.rs), then run this again"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "making namespaces needs root: run this as root, or install sudo"
    programs | scripts/install-tools.sh
    say "building (cargo build --release; the first time takes a few minutes)"
    cargo build --release --quiet --locked --package netmoth
    binary=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/netmoth
    [ "$(id -u)" = 0 ] || exec sudo scripts/demo.sh "$binary"
else
    binary=$1
    [ "$(id -u)" = 0 ] || fail "making namespaces needs root"
fi
export PATH="$PATH:/usr/sbin:/sbin"

name=nmdemo-$$
folder=$(mktemp -d)
started=()
sensor=
# For the foreground alone: in the background, $! would be a shell around the program.
at() { local where=$1; shift; ip netns exec "$name-$where" "$@"; }

clean_up() {
    trap - EXIT INT TERM
    [ -z "$sensor" ] || kill "$sensor" 2>/dev/null || true
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    for where in hub client server tap; do
        ip netns del "$name-$where" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "making two hosts and a tap on one hub (namespaces $name-*)"
for where in hub client server tap; do
    ip netns add "$name-$where"
    at "$where" ip link set lo up
done
for where in hub tap; do
    at "$where" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
done
# A bridge that learns nothing sends every frame to every port.
at hub ip link add hub0 type bridge ageing_time 0 mcast_snooping 0
at hub ip link set hub0 up
port() { # namespace, interface
    at hub ip link add "p-$1" type veth peer name "$2" netns "$name-$1"
    at hub ip link set "p-$1" master hub0 up
}
port tap tap0
at tap ip link set tap0 up
number=1
for where in client server; do
    port "$where" eth0
    # No offloads: frames as a wire carries them.
    at "$where" ethtool -K eth0 tso off gso off gro off tx off txvlan off >/dev/null
    at "$where" ip address add 10.71.0.$number/24 dev eth0
    at "$where" ip address add fd71::$number/64 dev eth0 nodad
    at "$where" ip link set eth0 up
    number=$((number + 1))
done

say "starting servers on 10.71.0.2: web (busybox), names (dnsmasq), iperf3"
mkdir "$folder/www"
echo 'It is a fine day for moths.' >"$folder/www/index.html"
head -c 5000000 /dev/urandom >"$folder/www/large"
ip netns exec "$name-server" busybox httpd -f -p 80 -h "$folder/www" & started+=($!)
ip netns exec "$name-server" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
    --log-facility=/dev/null --address=/moth.test/10.71.0.2 --address=/moth.test/fd71::2 & started+=($!)
ip netns exec "$name-server" iperf3 -s >/dev/null 2>&1 & started+=($!)

say "netmoth run -i tap0 --store sqlite:flows.db"
printf 'interface: tap0\nnumber_of_rings: 2\nmax_cores: 2\nspool: {path: "%s/spool"}\n' "$folder" >"$folder/netmoth.yml"
ip netns exec "$name-tap" "$binary" run -c "$folder/netmoth.yml" -i tap0 --store "sqlite:$folder/flows.db" 2>"$folder/log" & sensor=$!
for _ in $(seq 200); do
    grep -q 'capturing on' "$folder/log" && break
    kill -0 "$sensor" 2>/dev/null || { cat "$folder/log" >&2; fail "the sensor did not start"; }
    sleep 0.05
done
grep -q 'capturing on' "$folder/log" || { cat "$folder/log" >&2; fail "the sensor was not ready within ten seconds"; }
for _ in $(seq 100); do
    listening=$(at server ss -Hltn)
    [[ $listening == *:80\ * && $listening == *:53\ * && $listening == *:5201\ * ]] && break
    sleep 0.05
done

say "10.71.0.1 talks: curl, dig, ping, iperf3; and tries a closed port"
at client curl -sS -o /dev/null http://10.71.0.2/
at client curl -sS -o /dev/null http://10.71.0.2/large
at client curl -sS -o /dev/null 'http://[fd71::2]/'
at client curl -sS -o /dev/null http://10.71.0.2:8080/ 2>/dev/null || true
at client dig @10.71.0.2 moth.test A +short >/dev/null
at client dig @fd71::2 moth.test AAAA +short >/dev/null
at client dig @10.71.0.2 moth.test A +tcp +short >/dev/null
at client ping -q -c 5 -i 0.2 10.71.0.2 >/dev/null
at client ping -q -c 3 -i 0.2 fd71::2 >/dev/null
at client iperf3 -c 10.71.0.2 -t 3 -b 500M >/dev/null
at client iperf3 -c 10.71.0.2 -t 1 -u -b 50M >/dev/null

say "SIGTERM to the sensor: it drains, and says what became of every frame and record"
kill "$sensor"
status=0
wait "$sensor" || status=$?
sensor=
[ $status = 0 ] || { cat "$folder/log" >&2; fail "the sensor ended with status $status"; }
sed -n '/capturing on/,$p' "$folder/log" | grep -v summary-json || true

say "netmoth flows --store sqlite:flows.db"
"$binary" flows --store "sqlite:$folder/flows.db"
