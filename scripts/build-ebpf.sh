#!/bin/sh
# Builds the XDP program from source.
#
#   build-ebpf.sh                writes netmoth-xdp/netmoth-xdp.o and its fingerprint
#   build-ebpf.sh --check        builds, and fails unless the committed object is the one that the source gives
#   build-ebpf.sh --output FILE  builds into FILE and leaves the committed object alone
#
# NETMOTH_EBPF_TOOLCHAIN=nightly uses that toolchain of rustup (with its rust-src) instead of Debian's rustc-web. Another
# compiler gives another object, so --check is for the one that the committed object was made with.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
committed=$root/netmoth-xdp/netmoth-xdp.o
fingerprint=$root/netmoth-xdp/netmoth-xdp.sha256

say() { printf '%s\n' "$*" >&2; }

mode=write
output=
case "${1:-}" in
    '') ;;
    --check) mode=check ;;
    --output) mode=output; output=${2:?"--output needs a file"} ;;
    *) say "usage: build-ebpf.sh [--check | --output FILE]"; exit 2 ;;
esac

"$root/scripts/toolchain-ebpf.sh"

cargo_home=${CARGO_HOME:-$HOME/.cargo}
PATH="$cargo_home/bin:$PATH"
llvm=${LLVM_PREFIX:-/usr/lib/llvm-22}
if [ -n "${NETMOTH_EBPF_TOOLCHAIN:-}" ]; then
    RUSTC=$(rustup which --toolchain "$NETMOTH_EBPF_TOOLCHAIN" rustc)
else
    RUSTC=/usr/bin/rustc
fi
# Building core is what needs the flags of a nightly compiler; the program itself is stable Rust.
RUSTC_BOOTSTRAP=1
export RUSTC RUSTC_BOOTSTRAP
unset RUSTFLAGS RUSTC_WRAPPER CARGO_BUILD_RUSTFLAGS CARGO_TARGET_DIR CARGO_BUILD_TARGET RUSTUP_TOOLCHAIN 2>/dev/null || :

# No path of this machine gets into the object, so that any checkout gives the same bytes.
sysroot=$("$RUSTC" --print sysroot)
registry=$(find "$cargo_home/registry/src" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sed 's|.*|--remap-path-prefix=&=/registry|')
unit=$(printf '\037')
flags='--cfg=bpf_target_arch="x86_64"'"$unit-Cdebuginfo=2$unit-Clink-arg=--btf"
flags="$flags$unit--remap-path-prefix=$cargo_home=/cargo"
for flag in $registry; do flags="$flags$unit$flag"; done
flags="$flags$unit--remap-path-prefix=$sysroot=/rust$unit--remap-path-prefix=$root=/netmoth"
CARGO_ENCODED_RUSTFLAGS=$flags
export CARGO_ENCODED_RUSTFLAGS

cd "$root/netmoth-xdp"
cargo build --quiet --locked --release -Z build-std=core --target bpfel-unknown-none

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The debug sections have done their part: BTF is made of them, and BTF is what the kernel reads.
"$llvm/bin/llvm-strip" --strip-debug -o "$scratch/netmoth-xdp.o" target/bpfel-unknown-none/release/netmoth-xdp
# A function that several programs share keeps a name of the compiler's, with a hash of where the crate was built: without it.
"$llvm/bin/llvm-readelf" --symbols --wide "$scratch/netmoth-xdp.o" | awk '$4 == "FUNC" { print $8 }' |
    sed -n 's/^\(_R.*\)Cs[0-9A-Za-z]*_\(11netmoth_xdp.*\)$/& \1C\2/p' >"$scratch/names"
"$llvm/bin/llvm-objcopy" --redefine-syms="$scratch/names" "$scratch/netmoth-xdp.o"
cd "$root"

for path in "$root" "$cargo_home"; do
    if grep -aqF "$path" "$scratch/netmoth-xdp.o"; then
        say "the object contains the path $path, which would make it differ from machine to machine"
        exit 1
    fi
done

# The same rule as in netmoth/tests/xdp_object.rs: the hashes of the sources by relative path, hashed.
{
    printf 'source %s\n' "$(
        LC_ALL=C find netmoth-xdp/src netmoth-shared/src netmoth-xdp/Cargo.toml netmoth-xdp/Cargo.lock \
            scripts/build-ebpf.sh scripts/toolchain-ebpf.sh -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1
    )"
    printf 'object %s\n' "$(sha256sum <"$scratch/netmoth-xdp.o" | cut -d' ' -f1)"
} >"$scratch/netmoth-xdp.sha256"

case $mode in
    output) cp "$scratch/netmoth-xdp.o" "$output" ;;
    write)
        cp "$scratch/netmoth-xdp.o" "$committed"
        cp "$scratch/netmoth-xdp.sha256" "$fingerprint"
        say "wrote netmoth-xdp/netmoth-xdp.o and netmoth-xdp/netmoth-xdp.sha256"
        ;;
    check)
        if ! cmp -s "$scratch/netmoth-xdp.o" "$committed" || ! cmp -s "$scratch/netmoth-xdp.sha256" "$fingerprint"; then
            say "the committed XDP object isn't what its source gives: run scripts/build-ebpf.sh and commit what it writes"
            "$RUSTC" --version >&2
            diff "$fingerprint" "$scratch/netmoth-xdp.sha256" >&2 || :
            exit 1
        fi
        say "the committed XDP object is what its source gives"
        ;;
esac
