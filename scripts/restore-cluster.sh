#!/usr/bin/env bash
# A private, temporary PostgreSQL for the restore drill and for the tests of the scripts.
set -euo pipefail

usage() {
    cat <<'HELP'
A temporary PostgreSQL on 127.0.0.1, for drills and tests. A power failure may damage its data.

  restore-cluster.sh start DIR   creates and starts it in DIR (which must be empty or not exist); prints its port. The
                                 superuser is `drill`, without a password, from this machine only
  restore-cluster.sh stop DIR    stops it and removes DIR

If root starts it, it runs as `postgres` or `nobody`, because PostgreSQL refuses to run as root.
HELP
}

fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

programs() {
    local folder
    for folder in "$(pg_config --bindir 2>/dev/null || true)" "$(dirname "$(command -v postgres || echo /none)")" \
        $(compgen -G '/usr/lib/postgresql/*/bin' | sort -Vr); do
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then printf '%s' "$folder"; return; fi
    done
    fail 'no PostgreSQL server is installed (Debian: apt-get install postgresql)'
}

# Runs a program as an account that PostgreSQL accepts.
unprivileged() {
    if [ "$(id -u)" != 0 ]; then "$@"; return; fi
    local account
    for account in postgres nobody; do
        id -u "$account" >/dev/null 2>&1 || continue
        setpriv --reuid="$(id -u "$account")" --regid="$(id -g "$account")" --clear-groups -- "$@"
        return
    done
    fail 'PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody'
}

start() {
    local dir=$1 bin port
    bin=$(programs)
    mkdir -p "$dir"
    [ -z "$(ls -A "$dir")" ] || fail "$dir is not empty"
    if [ "$(id -u)" = 0 ]; then chown "$(unprivileged id -u)" "$dir"; fi
    cd "$dir"
    unprivileged "$bin/initdb" -D "$dir/data" -U drill --auth=trust --encoding=UTF8 --locale=C --no-sync >"$dir.log" 2>&1 ||
        fail "initdb failed; see $dir.log"
    port=$(python3 -c 'import socket; listener = socket.socket(); listener.bind(("127.0.0.1", 0)); print(listener.getsockname()[1])')
    unprivileged "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -s start \
        -o "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='' -c fsync=off -c max_connections=200" >>"$dir.log" 2>&1 ||
        fail "PostgreSQL did not start; see $dir.log and $dir/log"
    printf '%s\n' "$port"
}

stop() {
    local dir=$1 bin
    [ -d "$dir/data" ] || { rm -rf "$dir" "$dir.log"; return; }
    bin=$(programs)
    cd "$dir"
    unprivileged "$bin/pg_ctl" -D "$dir/data" -m immediate -w -t 30 -s stop >/dev/null 2>&1 || true
    cd /
    rm -rf "$dir" "$dir.log"
}

case ${1:-} in
    start | stop) [ -n "${2:-}" ] || fail 'missing: the folder; see --help'; "$1" "$(realpath -m "$2")" ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
