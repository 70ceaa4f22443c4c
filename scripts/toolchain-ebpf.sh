#!/bin/sh
# Installs what building the XDP program takes, and only what is missing: a compiler with the sources of its core
# library, LLVM 22, and bpf-linker. For Debian 12; elsewhere it says what is missing. See netmoth-xdp/README.md.
set -eu

LINKER_VERSION=0.13.0
LLVM_PREFIX=${LLVM_PREFIX:-/usr/lib/llvm-22}
export LLVM_PREFIX

say() { printf '%s\n' "$*" >&2; }

packages=
if [ -z "${NETMOTH_EBPF_TOOLCHAIN:-}" ]; then
    [ -x /usr/bin/rustc ] && /usr/bin/rustc --version >/dev/null 2>&1 || packages="$packages rustc-web"
    [ -d /usr/lib/rustlib/src/rust/library/core ] || packages="$packages rust-web-src"
fi
[ -x "$LLVM_PREFIX/bin/llvm-strip" ] && [ -x "$LLVM_PREFIX/bin/llvm-config" ] || packages="$packages llvm-22-dev llvm-22"

if [ -n "$packages" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        say "missing:$packages (names of Debian packages), and there is no apt-get here to install them with"
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        say "missing:$packages"
        say "run as root: apt-get install --no-install-recommends$packages"
        exit 1
    fi
    say "installing$packages"
    apt-get update
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
fi

if ! command -v cargo >/dev/null 2>&1; then
    say "missing: cargo (https://rustup.rs installs it)"
    exit 1
fi
PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
if ! bpf-linker --version 2>/dev/null | grep -q " $LINKER_VERSION\$"; then
    say "installing bpf-linker $LINKER_VERSION (two minutes)"
    cargo install bpf-linker --locked --force --version "$LINKER_VERSION" --no-default-features --features llvm-22
fi
