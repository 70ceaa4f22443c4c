#!/bin/bash
# Boots Debian 12 with its systemd under qemu, and has the service do there what it is for.
#
#   scripts/unit.sh [--binary FILE] [--console FILE]
#
# Installs the built binary, the unit and its drop-ins as `make install` does into a Debian of its own (debootstrap, some 200 MB from
# Debian's archive, kept in ${XDG_CACHE_HOME:-~/.cache}/netmoth-kernels), boots it with Debian's kernel 6.12, and prints what came of
# each check. Nothing of it is installed here. Fails where a check fails. What is checked stands in scripts/qemu/unit-checks. Takes some
# minutes where there is no KVM. As root.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin"

binary=target/release/netmoth
keep=
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=${2:?--binary needs a file}; shift 2 ;;
        --console) keep=${2:?--console needs a file}; shift 2 ;;
        -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "unit.sh: unknown argument $1; --help says which there are" >&2; exit 2 ;;
    esac
done
[ -x "$binary" ] || { echo "unit.sh: there is no $binary: run make build, or name one with --binary" >&2; exit 2; }

. scripts/qemu/kernels.bash
scripts/install-tools.sh <<'LIST'
debootstrap debootstrap
mke2fs e2fsprogs
LIST
work=$(mktemp -d)
trap "rm -rf $work" EXIT

# A Debian 12 with little in it.
debian() {
    local base=$cache/bookworm-root.tar
    if [ ! -e "$base" ]; then
        echo "installing a Debian 12 into a folder" >&2
        debootstrap --variant=minbase --include=systemd,dbus,iproute2,iputils-ping,libpcap0.8,procps,util-linux \
            bookworm "$work/base" "$archive" >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log" >&2; return 1; }
        rm -rf "$work"/base/usr/share/{doc,locale,man} "$work"/base/var/cache/apt/* "$work"/base/var/lib/apt/lists/*
        tar -C "$work/base" -cf "$base.new" . && mv "$base.new" "$base"
        rm -rf "$work/base"
    fi
    mkdir "$1" && tar -C "$1" -xf "$base"
}

# The sensor as it is installed, and the checks as a service behind everything else.
install_sensor() {
    make --silent -o build install DESTDIR="$1" BINARY="$binary" >/dev/null
    install -m 755 scripts/qemu/unit-checks "$1/usr/local/sbin/unit-checks"
    cat >"$1/etc/systemd/system/unit-checks.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/unit-checks
StandardOutput=tty
TTYPath=/dev/console
UNIT
    ln -s ../unit-checks.service "$1/etc/systemd/system/default.target.wants/unit-checks.service" 2>/dev/null || {
        mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
        ln -s ../unit-checks.service "$1/etc/systemd/system/multi-user.target.wants/unit-checks.service"
    }
    # Nobody logs in, and the console is the checks'.
    ln -sf /dev/null "$1/etc/systemd/system/serial-getty@ttyS0.service"
    ln -sf /dev/null "$1/etc/systemd/system/getty@tty1.service"
}

# What the kernel begins with: modules for the disk, then the Debian on it.
initramfs() {
    local root=$1
    mkdir -p "$root"/{bin,dev,proc,sys,new}
    install -m 755 "$(static_busybox)" "$root/bin/busybox"
    modules_into "$root/modules" "$work/kernel" "$version" virtio_pci virtio_blk ext4 veth sch_ingress cls_bpf act_bpf af_packet
    install -m 755 /dev/stdin "$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module.ko" 2>/dev/null; done </modules/order
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; sleep 1; done
mount -t ext4 /dev/vda /new || { echo "CHECK the disk|FAIL: it can't be mounted"; exec poweroff -f; }
exec switch_root /new /lib/systemd/systemd
INIT
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$root.cpio"
}

kernel trixie "$work/kernel"
version=$(version_of "$work/kernel")
debian "$work/debian"
install_sensor "$work/debian"
mke2fs -q -t ext4 -d "$work/debian" "$work/disk" 1G
initramfs "$work/first"
echo "booting Debian 12 with Linux $version …" >&2
boot "$(find "$work/kernel" -name 'vmlinuz*' -type f | head -n 1)" "$work/first.cpio" "$work/console" \
    -drive "file=$work/disk,if=virtio,format=raw"
[ -z "$keep" ] || cp "$work/console" "$keep"
tr -d '\r' <"$work/console" | sed -n 's/^.*CHECK //p' >"$work/checks"
grep -v '^end|' "$work/checks" | column -t -s '|' || :
if ! grep -q '^end|' "$work/checks"; then
    echo "it did not come to the end of the checks; its last words:" >&2
    tail -n 40 "$work/console" >&2
    exit 1
fi
! grep -q '|FAIL' "$work/checks"
