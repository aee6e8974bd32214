#!/usr/bin/env bash
# Writes (or, with --check, compares) the offline data of the checked SQL in .sqlx, according to the
# present migrations, on the temporary PostgreSQL of the tests. All crates share one database:
# the tables of each service are in a schema of their own, and the search path names all schemas.
#   scripts/sqlx-prepare.sh [--check]
set -euo pipefail
cd "$(dirname "$0")/.."

server=$(SQLX_OFFLINE=true cargo run --quiet --bin test-postgres -- url)
url=${server%/*}/sqlx_prepare
with_path() { printf '%s?options=-csearch_path%%3D%s' "$url" "$1"; }

cargo sqlx database drop -y -f --database-url "$url" >/dev/null 2>&1 || true
cargo sqlx database create --database-url "$url"
owners=(reminder-service event-service notification-service)
# sqlx-cli has no command that creates a schema, but a migration can create one.
scratch=$(mktemp -d)
trap 'rm -r "$scratch"; cargo sqlx database drop -y -f --database-url "$url" >/dev/null' EXIT
printf 'create schema %s;\n' "${owners[@]//-/_}" > "$scratch/1_schemas.sql"
cargo sqlx migrate run --source "$scratch" --database-url "$(with_path public)" >/dev/null
for owner in "${owners[@]}"; do
    schema=${owner//-/_}
    cargo sqlx migrate run --source "$owner/migrations" --database-url "$(with_path "$schema")" >/dev/null
    path=${path:+$path%2C}$schema
done

DATABASE_URL=$(with_path "$path") cargo sqlx prepare --workspace "$@" -- --quiet --all-targets
