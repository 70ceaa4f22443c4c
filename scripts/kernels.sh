#!/bin/bash
# Boots Debian's kernels under qemu and has the built binary show in each what it can do there.
#
#   scripts/kernels.sh [--binary FILE] [--kernels "5.10 6.1 6.12 newest"] [--markdown] [--consoles DIR]
#
# --consoles keeps what each kernel printed, for where a check fails.
# Prints a table of kernels and checks, and fails where a check fails. Kernels come from Debian's archive, checked against its
# index, into ${XDG_CACHE_HOME:-~/.cache}/netmoth-kernels; nothing of them is installed. Uses KVM where it may; without it a
# kernel takes one to three minutes. What is checked stands in scripts/qemu/kernel-checks.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"

binary=target/release/netmoth
wanted="5.10 6.1 6.12 newest"
markdown=
consoles=
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=${2:?--binary needs a file}; shift 2 ;;
        --kernels) wanted=${2:?--kernels needs a list}; shift 2 ;;
        --markdown) markdown=yes; shift ;;
        --consoles) consoles=${2:?--consoles needs a folder}; shift 2 ;;
        -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "kernels.sh: unknown argument $1; --help says which there are" >&2; exit 2 ;;
    esac
done
[ -x "$binary" ] || { echo "kernels.sh: there is no $binary: run make build, or name one with --binary" >&2; exit 2; }

. scripts/qemu/kernels.bash
scripts/install-tools.sh <<'LIST'
ip iproute2
tc iproute2
LIST
work=$(mktemp -d)
trap "rm -rf $work" EXIT

# A program with the libraries that it is linked with.
take() {
    local root=$1 program=$2 library
    install -D -m 755 "$program" "$root/bin/$(basename "$program")"
    for library in $(ldd "$program" 2>/dev/null | grep -oE '/[^ ]+'); do
        install -D -m 755 "$library" "$root$library"
    done
}

# The first file system: busybox, ip, tc, netmoth, libpcap, and the modules that are used.
initramfs() {
    local root=$1 files=$2 version=$3 libpcap
    mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,var/run,etc}
    install -m 755 "$(static_busybox)" "$root/bin/busybox"
    take "$root" "$(command -v ip)"
    take "$root" "$(command -v tc)"
    take "$root" "$(command -v setpriv)"
    take "$root" "$binary"
    libpcap=$(ldconfig -p | grep -oE '/[^ ]*libpcap\.so\.0\.8$' | head -n 1 || :)
    if [ -n "$libpcap" ]; then
        take "$root" "$libpcap"
        install -D -m 755 "$libpcap" "$root/lib/x86_64-linux-gnu/libpcap.so.0.8"
    fi
    install -m 755 scripts/qemu/kernel-checks "$root/init"
    modules_into "$root/modules" "$files" "$version" veth sch_ingress cls_bpf act_bpf af_packet
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$root.cpio"
}

failed=0
for name in $wanted; do
    suite=$(suite_of "$name")
    files=$work/$name
    echo "kernel $name ($suite) …" >&2
    kernel "$suite" "$files"
    version=$(version_of "$files")
    initramfs "$work/root-$name" "$files" "$version"
    boot "$(find "$files" -name 'vmlinuz*' -type f | head -n 1)" "$work/root-$name.cpio" "$work/$name.console"
    [ -z "$consoles" ] || { mkdir -p "$consoles" && cp "$work/$name.console" "$consoles"; }
    tr -d '\r' <"$work/$name.console" | sed -n 's/^CHECK //p' >"$work/$name.checks"
    printf '%s\n' "$version" >"$work/$name.version"
    echo "kernel $name: $(grep -c '|ok' "$work/$name.checks") ok, $(grep -c '|refused' "$work/$name.checks") refused, $(grep -c '|FAIL' "$work/$name.checks") failed" >&2
    if ! grep -q '^end|' "$work/$name.checks"; then
        echo "the kernel $name did not come to the end of the checks; its last words:" >&2
        tail -n 30 "$work/$name.console" >&2
        failed=1
    fi
done

# The table: a row for each check, a column for each kernel; refusals have numbers, and their reasons stand below. Interfaces of the
# checks have names of their own, which would make two reasons of one.
verdicts() {
    local check name verdict reason number separator=$1 line
    : >"$work/reasons"
    cat "$work"/*.checks | cut -d'|' -f1 | awk '!seen[$0]++' | grep -v '^end$' >"$work/order" || :
    while read -r check; do
        line=$check
        for name in $wanted; do
            verdict=$(grep "^$check|" "$work/$name.checks" | cut -d'|' -f2 | head -n 1 || :)
            if [ "${verdict#refused: }" != "$verdict" ]; then
                reason=$(sed 's/^refused: //; s/ of \(a0\|netmoth-[^ ]*\)//' <<<"$verdict")
                grep -qxF "$reason" "$work/reasons" || echo "$reason" >>"$work/reasons"
                number=$(grep -nxF "$reason" "$work/reasons" | cut -d: -f1)
                verdict="refused ($number)"
            fi
            line="$line$separator${verdict:-not reached}"
        done
        printf '%s\n' "$line"
    done <"$work/order"
}
heading="check"
for name in $wanted; do heading="$heading|$(cat "$work/$name.version")"; done
if [ -n "$markdown" ]; then
    echo "| ${heading//|/ | } |"
    echo "|---$(printf '|---%.0s' $wanted)|"
    verdicts ' | ' | sed 's/^/| /; s/$/ |/'
else
    { echo "$heading"; verdicts '|'; } | column -t -s '|'
fi
echo
awk '{ print "(" NR ") " $0 }' "$work/reasons"
for name in $wanted; do
    grep '|FAIL' "$work/$name.checks" | sed "s/^/$name: /" >&2 && failed=1
done
exit "$failed"
