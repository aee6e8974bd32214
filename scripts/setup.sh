#!/usr/bin/env bash
# Installs the missing requirements of the tests: PostgreSQL's server binaries, cargo-nextest,
# sqlx-cli and MiniStack (a local AWS, in .venv). Lists what it installs, or fails and says what to
# install.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/packages.sh
source scripts/packages.sh

SQLX_VERSION=0.9.0

command -v cargo >/dev/null || fail "Missing: a Rust toolchain (see rust-version in Cargo.toml)."
cargo fmt --version >/dev/null 2>&1 || fail "Missing: rustfmt. Run: rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || fail "Missing: clippy. Run: rustup component add clippy"
command -v cc >/dev/null || missing+=(gcc libc6-dev)
has_postgres || missing+=(postgresql)
command -v python3 >/dev/null || missing+=(python3 python3-venv)
[ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"

if ! cargo nextest --version >/dev/null 2>&1; then
    say "installing cargo-nextest into cargo's bin folder (a few minutes)"
    cargo install --quiet --locked cargo-nextest
fi
if [ "$(cargo sqlx --version 2>/dev/null)" != "sqlx-cli $SQLX_VERSION" ] && [ "$(cargo sqlx --version 2>/dev/null)" != "sqlx-cli-sqlx $SQLX_VERSION" ]; then
    say "installing sqlx-cli $SQLX_VERSION into cargo's bin folder (a few minutes)"
    cargo install --quiet --locked sqlx-cli --version "$SQLX_VERSION" --no-default-features --features postgres,rustls
fi
if ! cmp -s tests/requirements.txt .venv/requirements.txt; then
    say "installing $(tr '\n' ' ' < tests/requirements.txt)into .venv"
    python3 -m venv .venv || { apt_install python3-venv; python3 -m venv .venv; }
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt .venv/requirements.txt
fi
