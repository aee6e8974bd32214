#!/usr/bin/env bash
# Compares the answers of the REST APIs with their OpenAPI documents: starts the suite with data and
# ports of its own, sends generated requests to each service with schemathesis, and stops the suite.
# Fails if an answer contradicts a document. `make fuzz-api` calls this script.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/packages.sh
source scripts/packages.sh

usage() {
    cat <<'TEXT'
Usage: scripts/fuzz-api.sh [OPTION…]

  OPTION…    options of `schemathesis run` (default: --max-examples 50 --seed 1)
  SUITE      the suite's binary (default: target/debug/suite)
TEXT
}
case ${1:-} in
    -h | --help) usage; exit 0 ;;
esac
options=("$@")
[ $# != 0 ] || options=(--max-examples 50 --seed 1)
suite=$(realpath "${SUITE:-target/debug/suite}")
folder=tests/fuzz-api tools=.verify/fuzz-api

if ! cmp -s $folder/requirements.txt $tools/requirements.txt; then
    say "installing the tools of $folder/requirements.txt into $tools"
    python3 -m venv $tools
    $tools/bin/pip install --quiet --disable-pip-version-check -r $folder/requirements.txt
    cp $folder/requirements.txt $tools/requirements.txt
fi
tools=$(realpath $tools)

data=$(mktemp -d)
RATE_LIMIT_PER_SECOND=100000 RATE_LIMIT_BURST=100000 "$suite" --data "$data/suite" \
    --console-port 0 --reminder-port 0 --event-port 0 --notification-port 0 --sandbox-port 0 \
    > "$data/log" 2>&1 &
suite_pid=$!
stop() {
    kill "$suite_pid" 2> /dev/null || true
    wait "$suite_pid" || true
    rm -rf "$data"
}
trap stop EXIT

# Prints the address of a service, from the lines that the suite prints when it is ready.
address() { sed -n "s/^ *$1 *\(http:[^ ]*\).*/\1/p" "$data/log"; }

for ((second = 0; second < 120; second++)); do
    [ -z "$(address notification-service)" ] || break
    kill -0 "$suite_pid" 2> /dev/null || break
    sleep 1
done
[ -n "$(address notification-service)" ] || { cat "$data/log" >&2; fail 'the suite did not start'; }

failed=()
for service in reminder-service event-service notification-service; do
    say "$service"
    (cd $folder && PYTHONDONTWRITEBYTECODE=1 "$tools/bin/schemathesis" \
        --config-file schemathesis.toml run "$(address $service)/openapi.json" \
        -H 'X-Authenticated-Userid: fuzz' -H 'X-Consumer-Username: fuzz@example.com' \
        --warnings off "${options[@]}") || failed+=("$service")
done
[ ${#failed[@]} = 0 ] || fail "answers contradict the document: ${failed[*]}"
