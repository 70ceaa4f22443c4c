# Debian's kernels, and qemu to boot them: for scripts that source this from the repository's folder.
#
# Kernels come from Debian's archive, checked against its index, into ${XDG_CACHE_HOME:-~/.cache}/netmoth-kernels; nothing of them is
# installed. The caller has said `set -euo pipefail`.

scripts/install-tools.sh <<'LIST'
qemu-system-x86_64 qemu-system-x86
cpio cpio
curl curl
depmod kmod
dpkg-deb dpkg
xz xz-utils
zstd zstd
LIST

# A busybox that needs no library. Debian's two packages of it share its place: this one takes that of the other.
static_busybox() {
    if [ ! -x /bin/busybox ] || ldd /bin/busybox >/dev/null 2>&1; then
        scripts/install-tools.sh <<<"busybox.static busybox-static" >&2
    fi
    echo /bin/busybox
}

archive=http://deb.debian.org/debian
cache=${XDG_CACHE_HOME:-$HOME/.cache}/netmoth-kernels
mkdir -p "$cache"

suite_of() {
    case $1 in
        5.10) echo bullseye ;;
        6.1) echo bookworm ;;
        6.12) echo trixie ;;
        newest) echo sid ;;
        *) echo "$1 is none of 5.10, 6.1, 6.12, newest" >&2; return 2 ;;
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
    [ -n "$path" ] || { echo "the archive has no $package" >&2; return 1; }
    deb=$cache/${path##*/}
    if ! echo "$sum  $deb" | sha256sum --check --status 2>/dev/null; then
        echo "downloading ${path##*/}" >&2
        curl -sSf -o "$deb.new" "$archive/$path"
        echo "$sum  $deb.new" | sha256sum --check --status || { echo "$path is damaged" >&2; return 1; }
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

# The modules of a kernel (FOLDER VERSION MODULE…) with what they depend on, unpacked into DESTINATION, with their order beside them.
modules_into() {
    local destination=$1 files=$2 version=$3 module path
    shift 3
    mkdir -p "$destination"
    # depmod and modprobe look in lib/modules, where newer packages have usr/lib/modules.
    [ -d "$files/lib/modules" ] || { mkdir -p "$files/lib"; ln -s ../usr/lib/modules "$files/lib/modules"; }
    depmod -b "$files" "$version" 2>/dev/null
    for module in "$@"; do
        # What a kernel has built in is no module of it.
        { modprobe -d "$files" -S "$version" --show-depends "$module" 2>/dev/null || :; } | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++' | while read -r path; do
        module=$(basename "$path" | sed 's/\.ko.*//')
        case $path in
            *.xz) xz -dc "$path" >"$destination/$module.ko" ;;
            *.zst) zstd -dqc "$path" >"$destination/$module.ko" ;;
            *) cp "$path" "$destination/$module.ko" ;;
        esac
        echo "$module" >>"$destination/order"
    done
    touch "$destination/order"
}

# The version of an unpacked kernel.
version_of() { basename "$(find "$1" -type d -path '*/lib/modules/*' -prune | head -n 1)"; }

# Boots a kernel with a first file system; the console goes to a file: KERNEL INITRD CONSOLE [QEMU-ARGUMENT…]
boot() {
    local kernel=$1 initrd=$2 console=$3
    shift 3
    # A machine that is virtual itself may show a /dev/kvm that a guest hangs in: KVM works where the CPU has what it needs.
    local accelerator=tcg
    [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo && accelerator=kvm
    # Without KVM, a kernel that patches itself while two CPUs run may trip over it before the first program starts (Oops: int3): it is
    # booted again then.
    local attempt
    for attempt in 1 2 3; do
        timeout "${NETMOTH_KERNEL_SECONDS:-600}" qemu-system-x86_64 -accel "$accelerator" -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand -smp 2 -m 1536 -nographic -no-reboot -nic none \
            -kernel "$kernel" -initrd "$initrd" -append 'console=ttyS0 quiet panic=-1 oops=panic mitigations=off' "$@" </dev/null >"$console" 2>&1 || :
        grep -q 'Oops: int3' "$console" && ! grep -q CHECK "$console" || return 0
        echo "it tripped over its own patching; booting it again" >&2
    done
}

