#!/bin/bash
# Fuzzes Netmoth, guided by coverage.
#
#   fuzz.sh [--seconds N] [TARGET...]    runs each target (all: frame, flows, capture_file,
#                                        parser_oracle, filter) for N seconds (60)
#
# filter loads programs into the kernel where it may, that is as root.
#
# Starts from the committed seeds and regressions; what it finds worth keeping it puts into fuzz/corpus, which is not
# committed, and goes on from there the next time. Needs a nightly toolchain of rustup; installs cargo-fuzz where it is
# missing. Exit status 1 where a target crashed, ran out of time or of memory.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

# What the targets reach is safe Rust: an address sanitizer would find nothing in it, at half the speed.
sanitizer=none

say() { printf '%s\n' "$*" >&2; }

# Longest input: a frame with all its headers; a story of five hundred steps; a file of some packets.
longest() {
    case $1 in
        frame | parser_oracle | filter) echo 512 ;;
        flows) echo 4096 ;;
        capture_file) echo 4096 ;;
        *) say "there is no target $1: frame, flows, capture_file, parser_oracle, filter"; exit 2 ;;
    esac
}

seconds=60
targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds)
            seconds=${2:-}
            [[ $seconds =~ ^[1-9][0-9]*$ ]] || { say "--seconds needs a number"; exit 2; }
            shift 2
            ;;
        -*) say "usage: fuzz.sh [--seconds N] [TARGET...]"; exit 2 ;;
        *) longest "$1" >/dev/null; targets+=("$1"); shift ;;
    esac
done
[ ${#targets[@]} -gt 0 ] || targets=(frame flows capture_file parser_oracle filter)

if ! rustup toolchain list | grep -q '^nightly'; then
    say "there is no nightly compiler, which fuzzing needs: rustup toolchain install nightly --profile minimal"
    exit 1
fi
if ! command -v cargo-fuzz >/dev/null; then
    say "installing cargo-fuzz"
    cargo install --quiet --locked cargo-fuzz
fi

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
for target in "${targets[@]}"; do
    say "building $target"
    cargo +nightly fuzz build --sanitizer "$sanitizer" "$target"
done

crashed=()
for target in "${targets[@]}"; do
    say "running $target for $seconds seconds"
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run --sanitizer "$sanitizer" "$target" \
        "fuzz/corpus/$target" "fuzz/seeds/$target" "fuzz/regressions/$target" -- \
        -max_total_time="$seconds" -max_len="$(longest "$target")" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
        >"$logs/$target" 2>&1 || crashed+=("$target")
done

# The last value behind a word of libFuzzer's output.
figure() { sed -n "s/.*$2[: ] *\([0-9]*\).*/\1/p" "$logs/$1" | tail -1; }

printf '%-14s %12s %10s %8s %8s %9s %8s\n' TARGET EXECUTIONS 'PER SECOND' EDGES CORPUS 'PEAK RSS' CRASHES
for target in "${targets[@]}"; do
    crashes=0
    case " ${crashed[*]-} " in *" $target "*) crashes=1 ;; esac
    printf '%-14s %12s %10s %8s %8s %6s MB %8s\n' "$target" \
        "$(figure "$target" stat::number_of_executed_units)" "$(figure "$target" stat::average_exec_per_sec)" \
        "$(figure "$target" ' cov')" "$(figure "$target" ' corp')" "$(figure "$target" stat::peak_rss_mb)" "$crashes"
done

for target in ${crashed[@]+"${crashed[@]}"}; do
    say ""
    say "$target failed:"
    grep -a --no-group-separator -E "panicked at|^thread|ERROR:|SUMMARY:|Test unit written" -A 1 "$logs/$target" | tail -20 >&2 || tail -20 "$logs/$target" >&2
    input=$(sed -n 's/.*Test unit written to //p' "$logs/$target" | tail -1)
    if [ -n "$input" ]; then
        say "again:    cargo +nightly fuzz run --sanitizer $sanitizer $target ${input#"$PWD/"}"
        say "to keep:  cp ${input#"$PWD/"} fuzz/regressions/$target/NAME   (netmoth/tests/fuzz_regressions.rs runs it from then on)"
    fi
done
[ ${#crashed[@]} -eq 0 ]
