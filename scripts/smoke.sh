#!/usr/bin/env bash
# Checks an environment from outside, as a client: the edge answers with TLS, both services are
# reachable, internal paths are not, and an identity without proof is refused.
#
#   scripts/smoke.sh URL      scripts/smoke.sh https://api.development.example.com
#
# It changes nothing and needs no account. A failing check is repeated for up to a minute, because
# the edge may not know new pods yet.
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
            warn "failed: $what: $path was answered with $status, expected $wanted"
            failures=$((failures + 1))
            return
        fi
        sleep 2
    done
    printf '%s (%s)\n' "$what" "$status"
}

claim=(--header 'X-Authenticated-Userid: smoke' --header 'X-Consumer-Username: smoke@example.com')
expect 401 'reminder-service refuses a call without identity' /reminders
expect 401 'notification-service refuses a call without identity' /device
expect 401 'reminder-service refuses an identity without proof' /reminders "${claim[@]}"
expect 401 'notification-service refuses an identity without proof' /device "${claim[@]}"
expect 401 'an unsigned token is refused' /reminders --header 'Authorization: Bearer e30.e30.e30'
expect 404 'event-service is not reachable' /timeline/00000000-0000-0000-0000-000000000000
expect 404 'metrics are not reachable' /metrics
expect 404 'health is not reachable' /readyz
[ "$failures" -eq 0 ] || fail "$failures checks failed."
say "all checks of $url passed"
