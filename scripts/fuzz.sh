#!/usr/bin/env bash
# Fuzzes the parsers: builds the targets of tests/fuzz with libFuzzer, and runs one after the other.
# Fails if an input breaks a property of a target, takes too long or needs too much memory. `make
# fuzz` calls this script.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/packages.sh
source scripts/packages.sh

usage() {
    cat <<'TEXT'
Usage: scripts/fuzz.sh [--seconds NUMBER] [--target NAME]… [--input FILE] [-- OPTION…]

  --seconds NUMBER  time for each target (default: 600)
  --target NAME     target: a file in tests/fuzz/src/bin without its ending (default: all)
  --input FILE      run one target once, over one input
  OPTION…           further options of libFuzzer, such as -max_len=65536

Inputs that reach new code are kept in .fuzz/corpus, those that break a property in .fuzz/found.
TEXT
}

seconds=600 targets=() input=
while [ $# != 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --seconds) seconds=${2:?--seconds needs a number}; shift 2 ;;
        --target) targets+=("${2:?--target needs a name}"); shift 2 ;;
        --input) input=$(realpath "${2:?--input needs a file}"); shift 2 ;;
        --) shift; break ;;
        *) usage >&2; exit 2 ;;
    esac
done
if [ ${#targets[@]} = 0 ]; then
    for source in tests/fuzz/src/bin/*.rs; do targets+=("$(basename "$source" .rs)"); done
fi
for target in "${targets[@]}"; do
    [ -f "tests/fuzz/src/bin/$target.rs" ] || fail "there is no target $target"
done
[ -z "$input" ] || [ ${#targets[@]} = 1 ] || fail '--input needs one --target'

# The coverage that libFuzzer is guided by, with the stable compiler. Build scripts run without it,
# as the platform is named.
platform=$(rustc -vV | sed -n 's/^host: //p')
folder=${CARGO_TARGET_DIR:-target}/fuzz
coverage='-Cpasses=sancov-module -Ccodegen-units=1'
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
binaries=()
for target in "${targets[@]}"; do binaries+=(--bin "fuzz-${target//_/-}"); done
say 'building the targets with libFuzzer'
RUSTFLAGS=$coverage cargo build --package fuzz --features libfuzzer --profile fuzz \
    --target "$platform" --target-dir "$folder" "${binaries[@]}"

# Seeds of a target, besides its own: inputs of the same form.
seeds() {
    echo "tests/fuzz/seeds/$1"
    case $1 in
        calendar_file) printf '%s\n' reminder-service/tests/fixtures/calendars{,/exports} ;;
        occurrence_edit) echo tests/fuzz/seeds/recurrence_rule ;;
    esac
}

fuzzing=
stop() { [ -z "$fuzzing" ] || kill "$fuzzing" 2> /dev/null || true; }
trap stop EXIT

broken=()
for target in "${targets[@]}"; do
    binary=$folder/$platform/fuzz/fuzz-${target//_/-}
    if [ -n "$input" ]; then exec "$binary" "$@" "$input"; fi
    mapfile -t folders < <(seeds "$target")
    found=.fuzz/found/$target corpus=.fuzz/corpus/$target log=.fuzz/$target.log
    mkdir -p "$found" "$corpus"
    say "$target: $seconds s, with its log in $log"
    "$binary" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 \
        -dict="tests/fuzz/dictionaries/$target.dict" -artifact_prefix="$found/" \
        -print_final_stats=1 "$@" "$corpus" "${folders[@]}" > "$log" 2>&1 &
    fuzzing=$!
    # Ten seconds between two lines, unless the target ends before.
    while ! timeout 10 tail --pid="$fuzzing" -f /dev/null; do
        grep -a '^#' "$log" | tail -n 1 || true
    done
    if wait "$fuzzing"; then
        grep -a '^#' "$log" | tail -n 1 || true
    else
        tail -n 40 "$log"
        broken+=("$target")
    fi
    fuzzing=
done
if [ ${#broken[@]} != 0 ]; then
    for target in "${broken[@]}"; do
        say "reproduce with: make fuzz ARGS=\"--target $target --input .fuzz/found/$target/…\""
    done
    fail "a property does not hold: ${broken[*]}"
fi
