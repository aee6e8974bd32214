#!/usr/bin/env bash
# Checks an environment from outside, as a client: the edge answers with TLS, both services are
# reachable, internal paths are not, and a claimed identity without proof is refused.
#
#   scripts/smoke.sh URL      scripts/smoke.sh https://api.development.example.com
#
# It changes nothing and needs no account. Each check is repeated for up to a minute, until the edge
# knows new pods.
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"

case ${1:-} in -h | --help) usage; exit ;; '') usage >&2; exit 2 ;; esac
url=${1%/}
need curl
deadline=$((SECONDS + ${SMOKE_SECONDS:-60}))
failures=0

# expect "STATUS..." WHAT PATH [CURL OPTION...]
expect() {
    local wanted=$1 what=$2 path=$3 status
    shift 3
    while :; do
        status=$(curl --silent --output /dev/null --max-time 10 --write-out '%{http_code}' "$@" "$url$path" || true)
        [[ " $wanted " == *" $status "* ]] && break
        if [ "$SECONDS" -ge "$deadline" ]; then
            warn "$what: $path answered $status, not $wanted"
            failures=$((failures + 1))
            return
        fi
        sleep 2
    done
    printf '%s (%s)\n' "$what" "$status"
}

claim=(--header 'X-Authenticated-Userid: smoke' --header 'X-Consumer-Username: smoke@example.com')
expect 401 'reminder-service asks who is there' /reminders
expect 401 'notification-service asks who is there' /device
expect 401 'a claimed identity is not believed by reminder-service' /reminders "${claim[@]}"
expect 401 'a claimed identity is not believed by notification-service' /device "${claim[@]}"
expect 401 'a token that nobody signed is not believed' /reminders --header 'Authorization: Bearer e30.e30.e30'
expect 404 'what event-service serves is not outside' /timeline/00000000-0000-0000-0000-000000000000
expect 404 'metrics are not outside' /metrics
expect 404 'health is not outside' /readyz
[ "$failures" -eq 0 ] || fail "$failures of the checks failed."
say "$url is as it should be"
