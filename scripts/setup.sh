#!/usr/bin/env bash
# Gets what the tests need and this machine lacks: PostgreSQL's server binaries, cargo-nextest, sqlx-cli and MiniStack (a
# local AWS, in .venv). Says what it does; fails, with what to do, when it cannot.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m%s\033[0m\n' "$*"; }
fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }

SQLX_VERSION=0.9.0

has_postgres() {
    command -v initdb >/dev/null && command -v postgres >/dev/null && return 0
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return 0
    command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/initdb" ]
}

apt_install() {
    command -v apt-get >/dev/null || fail "Missing: $*. Install it with this system's package manager and run again."
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    say "installing $*"
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

command -v cargo >/dev/null || fail "Missing: a Rust toolchain (see rust-version in Cargo.toml)."
cargo fmt --version >/dev/null 2>&1 || fail "Missing: rustfmt. Run: rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || fail "Missing: clippy. Run: rustup component add clippy"
command -v cc >/dev/null || apt_install gcc libc6-dev
has_postgres || apt_install postgresql
command -v python3 >/dev/null || apt_install python3 python3-venv

if ! cargo nextest --version >/dev/null 2>&1; then
    say "installing cargo-nextest (a few minutes)"
    cargo install --quiet --locked cargo-nextest
fi
if [ "$(cargo sqlx --version 2>/dev/null)" != "sqlx-cli $SQLX_VERSION" ] && [ "$(cargo sqlx --version 2>/dev/null)" != "sqlx-cli-sqlx $SQLX_VERSION" ]; then
    say "installing sqlx-cli $SQLX_VERSION (a few minutes)"
    cargo install --quiet --locked sqlx-cli --version "$SQLX_VERSION" --no-default-features --features postgres,rustls
fi
if ! cmp -s tests/requirements.txt .venv/requirements.txt; then
    say "installing $(tr '\n' ' ' < tests/requirements.txt)into .venv"
    python3 -m venv .venv || { apt_install python3-venv; python3 -m venv .venv; }
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt .venv/requirements.txt
fi
