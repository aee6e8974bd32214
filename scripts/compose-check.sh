#!/usr/bin/env bash
# Starts the suite of compose.yaml as a separate project (reminders-check, with its own volumes),
# sends one reminder through it to a phone and a mailbox, and removes it.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
Usage: scripts/compose-check.sh [--keep]

  --keep     leaves the suite running
  COMPOSE    the compose command (default: docker compose)
  UP_ARGS    further arguments of `up` (default: --build)
  LIMIT_S    seconds within which the reminder must arrive (default: 60)
TEXT
}
fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }
say() { printf '\033[1m%s\033[0m\n' "$*"; }

keep=no
case ${1:-} in
    '') ;;
    --keep) keep=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac
read -ra compose <<< "${COMPOSE:-docker compose} --project-name reminders-check"
read -ra up <<< "${UP_ARGS---build}"

down() {
    local status=$?
    if [ "$status" != 0 ]; then "${compose[@]}" ps --all || true; "${compose[@]}" logs --tail 30 || true; fi
    if [ "$keep" = no ]; then "${compose[@]}" down --volumes --timeout 35 >/dev/null 2>&1 || true; fi
    exit "$status"
}
trap down EXIT

say 'starting'
"${compose[@]}" up --detach --wait --wait-timeout 300 "${up[@]}" \
    reminder-service event-service notification-scheduler notification-service
say "healthy after $SECONDS s"

user=check-$$
token=phone-$$
call() {
    curl --silent --show-error --fail-with-body --max-time 10 -H "X-Authenticated-Userid: $user" \
        -H "X-Consumer-Username: $user@example.com" -H 'Content-Type: application/json' "$@"
}
reminders=http://127.0.0.1:${REMINDER_PORT:-3000} devices=http://127.0.0.1:${NOTIFICATION_PORT:-3002}
pushes=http://127.0.0.1:${SANDBOX_PORT:-4500}/_sandbox/messages mails=http://127.0.0.1:${MINISTACK_PORT:-4566}/_ministack/ses/messages
call "$devices/device/register" -d "{\"fcmToken\": \"$token\", \"type\": \"android\", \"name\": \"A phone\"}" >/dev/null
due=$(date -u -d '+5 sec' +%FT%TZ)
created=$(call "$reminders/reminders" -d "{\"title\": \"Tablets\", \"message\": \"Two, with water\", \"channels\": [\"push\", \"email\"], \"date\": \"$due\"}")
say "created $created, due $due"

deadline=$((SECONDS + ${LIMIT_S:-60}))
push=no mail=no
while [ "$push" = no ] || [ "$mail" = no ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "the reminder did not arrive within ${LIMIT_S:-60} s (push: $push, e-mail: $mail)"
    sleep 0.5
    if [ "$push" = no ] && curl --silent --max-time 10 "$pushes" | grep -q "$token"; then push=$(date -u +%T); fi
    if [ "$mail" = no ] && curl --silent --max-time 10 "$mails" | grep -q "$user@example.com"; then mail=$(date -u +%T); fi
done
say "arrived: push by $push, e-mail by $mail (checked every half second)"
"${compose[@]}" ps --format 'table {{.Service}}\t{{.Status}}'
