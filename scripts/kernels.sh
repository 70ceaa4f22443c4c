#!/bin/bash
# Boots Debian's kernels under qemu and has the built binary show in each what it can do there.
#
#   scripts/kernels.sh [--binary FILE] [--kernels "5.10 6.1 6.12 newest"] [--markdown] [--consoles DIR]
#
# --consoles keeps what each kernel printed, for where a check fails.
# Prints a table of kernels and checks, and fails where a check fails. Kernels come from Debian's archive, checked against its
# index, into ${XDG_CACHE_HOME:-~/.cache}/netmoth-kernels; nothing of them is installed. Uses KVM where it may; without it a
# kernel takes one to three minutes. What is checked stands in scripts/kernels/init.
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

scripts/install-tools.sh <<'LIST'
qemu-system-x86_64 qemu-system-x86
cpio cpio
curl curl
depmod kmod
dpkg-deb dpkg
ip iproute2
tc iproute2
xz xz-utils
LIST
[ -x /bin/busybox ] && file -L /bin/busybox 2>/dev/null | grep -q static || {
    scripts/install-tools.sh <<<"/bin/busybox.static busybox-static" || :
}

archive=http://deb.debian.org/debian
cache=${XDG_CACHE_HOME:-$HOME/.cache}/netmoth-kernels
mkdir -p "$cache"
work=$(mktemp -d)
trap "rm -rf $work" EXIT

suite_of() {
    case $1 in
        5.10) echo bullseye ;;
        6.1) echo bookworm ;;
        6.12) echo trixie ;;
        newest) echo sid ;;
        *) echo "kernels.sh: $1 is none of 5.10, 6.1, 6.12, newest" >&2; return 2 ;;
    esac
}

# The index of a suite, a day old at most.
index() {
    local file=$cache/$1.packages
    if [ -z "$(find "$file" -mmin -1440 2>/dev/null)" ]; then
        curl -sSf "$archive/dists/$1/main/binary-amd64/Packages.xz" | xz -dc >"$file.new"
        mv "$file.new" "$file"
    fi
    echo "$file"
}

# One field of one package: FILE PACKAGE FIELD.
field() {
    awk -v RS= -v package="Package: $2" -v name="$3: " '
        index($0, package "\n") == 1 { n = split($0, line, "\n"); for (i = 1; i <= n; i++) if (index(line[i], name) == 1) print substr(line[i], length(name) + 1) }' "$1" | head -n 1
}

# Downloads a package, checks it, and unpacks it into a folder.
unpack() {
    local list=$1 package=$2 folder=$3 path sum deb
    path=$(field "$list" "$package" Filename) sum=$(field "$list" "$package" SHA256)
    [ -n "$path" ] || { echo "kernels.sh: the archive has no $package" >&2; return 1; }
    deb=$cache/${path##*/}
    if ! echo "$sum  $deb" | sha256sum --check --status 2>/dev/null; then
        echo "downloading ${path##*/}" >&2
        curl -sSf -o "$deb.new" "$archive/$path"
        echo "$sum  $deb.new" | sha256sum --check --status || { echo "kernels.sh: $path is damaged" >&2; return 1; }
        mv "$deb.new" "$deb"
    fi
    dpkg-deb -x "$deb" "$folder"
}

# Unpacks the kernel of a suite; newer ones come in several packages.
kernel() {
    local list image part
    list=$(index "$1")
    image=$(field "$list" linux-image-amd64 Depends | grep -o 'linux-image-[^ ,(]*' | head -n 1)
    unpack "$list" "$image" "$2"
    for part in $(field "$list" "$image" Depends | grep -oE 'linux-(binary|modules)-[^ ,(]*' || :); do
        unpack "$list" "$part" "$2"
    done
}

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
    local root=$1 files=$2 version=$3 module path libpcap
    mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,var/run,etc,modules}
    busybox=/bin/busybox
    [ -x /bin/busybox.static ] && busybox=/bin/busybox.static
    install -m 755 "$busybox" "$root/bin/busybox"
    take "$root" "$(command -v ip)"
    take "$root" "$(command -v tc)"
    take "$root" "$(command -v setpriv)"
    take "$root" "$binary"
    libpcap=$(ldconfig -p | grep -oE '/[^ ]*libpcap\.so\.0\.8$' | head -n 1 || :)
    if [ -n "$libpcap" ]; then
        take "$root" "$libpcap"
        install -D -m 755 "$libpcap" "$root/lib/x86_64-linux-gnu/libpcap.so.0.8"
    fi
    install -m 755 scripts/kernels/init "$root/init"
    depmod -b "$files" "$version" 2>/dev/null
    for module in veth sch_ingress cls_bpf act_bpf af_packet; do
        # What a kernel has built in is no module of it.
        { modprobe -d "$files" -S "$version" --show-depends "$module" 2>/dev/null || :; } | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++' | while read -r path; do
        module=$(basename "$path" | sed 's/\.ko.*//')
        case $path in
            *.xz) xz -dc "$path" >"$root/modules/$module.ko" ;;
            *.zst) zstd -dqc "$path" >"$root/modules/$module.ko" ;;
            *) cp "$path" "$root/modules/$module.ko" ;;
        esac
        echo "$module" >>"$root/modules/order"
    done
    touch "$root/modules/order"
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$root.cpio"
}

# Boots it; the console goes to a file.
boot() {
    # A machine that is virtual itself may show a /dev/kvm that a guest hangs in: KVM works where the CPU has what it needs.
    local accelerator=tcg
    [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo && accelerator=kvm
    timeout "${NETMOTH_KERNEL_SECONDS:-600}" qemu-system-x86_64 -accel "$accelerator" -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand -smp 2 -m 1536 -nographic -no-reboot -nic none \
        -kernel "$1" -initrd "$2" -append 'console=ttyS0 quiet panic=-1 mitigations=off' </dev/null >"$3" 2>&1 || :
}

failed=0
for name in $wanted; do
    suite=$(suite_of "$name")
    files=$work/$name
    echo "kernel $name ($suite) …" >&2
    kernel "$suite" "$files"
    modules=$(find "$files" -type d -path '*/lib/modules/*' -prune | head -n 1)
    version=$(basename "$modules")
    # depmod and modprobe look in lib/modules, where newer packages have usr/lib/modules.
    [ -d "$files/lib/modules" ] || { mkdir -p "$files/lib"; ln -s ../usr/lib/modules "$files/lib/modules"; }
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
