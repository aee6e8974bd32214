#!/usr/bin/env bash
# Writes (or, with --check, compares) the offline data of every crate's compile-time checked SQL, against the migrations as
# they stand, on the throw-away cluster of the tests.
#   scripts/sqlx-prepare.sh [--check] [crate ...]
set -euo pipefail
cd "$(dirname "$0")/.."

check=()
[ "${1:-}" = --check ] && { check=(--check); shift; }
crates=("$@")
[ ${#crates[@]} -gt 0 ] || crates=(shared reminder-service event-service notification-scheduler notification-service)

server=$(SQLX_OFFLINE=true cargo run --quiet -p support --bin test-postgres -- url)
database() { printf '%s' "${server%/*}/prepare_$1"; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for crate in "${crates[@]}"; do
    # The scheduler owns no table: its SQL is checked against event-service's migrations; the shared crate's against its own tables.
    migrations=$crate/migrations
    [ "$crate" = notification-scheduler ] && migrations=event-service/migrations
    if [ "$crate" = shared ]; then
        migrations=$scratch/shared
        mkdir -p "$migrations"
        cp shared/sql/outbox.sql "$migrations/0001_outbox.sql"
        cp shared/sql/idempotency.sql "$migrations/0002_idempotency.sql"
    fi
    url=$(database "${crate//-/_}")
    cargo sqlx database drop -y -f --database-url "$url" >/dev/null 2>&1 || true
    cargo sqlx database create --database-url "$url"
    cargo sqlx migrate run --source "$migrations" --database-url "$url" >/dev/null
    echo "$crate"
    (cd "$crate" && DATABASE_URL=$url cargo sqlx prepare "${check[@]}" -- --quiet)
    cargo sqlx database drop -y -f --database-url "$url" >/dev/null
done
