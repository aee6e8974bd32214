#!/usr/bin/env bash
# Runs all checks and tests that a change must pass, the cheapest first. `make test` calls this
# script.
set -euo pipefail
cd "$(dirname "$0")/.."
export SQLX_OFFLINE=true
unset DATABASE_URL
# Property tests try the same cases in each run, so that a change is not refused for a case that was
# there before it. Another number explores others: PROPTEST_RNG_SEED=$RANDOM make test
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261128}

step() { printf '\n\033[1m== %s (%s s)\033[0m\n' "$1" "$SECONDS"; }

step 'requirements of the tests'
scripts/setup.sh
step 'format'
cargo fmt --all --check
step 'lints'
cargo clippy --quiet --workspace --all-targets -- -D warnings
step 'documentation'
RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps
step 'checked SQL'
env -u SQLX_OFFLINE scripts/sqlx-prepare.sh --check
step 'build'
cargo build --quiet --workspace --all-targets
step 'tests'
trap 'cargo run --quiet --bin test-postgres -- stop || true' EXIT
cargo nextest run --workspace "$@"
step 'done'
