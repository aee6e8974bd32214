#!/usr/bin/env bash
# The restore drill: kills the real services, drops their databases, restores them, and counts the
# messages that arrive.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'HELP'
Creates reminders with the real services, backs up (backup.sh), kills the services and drops every database, restores
(restore.sh, restore-reconcile.sh), starts again, and counts the messages that arrive at the stand-ins for FCM and SES.
Exits with 0 if every reminder that was pending at the backup was sent once on each channel and in time, and no other.

  restore-drill.sh [--bin DIR] [--reminders N] [--pace N] [--once] [--keep]

  --bin DIR        folder of the binaries (target/debug): the four services and sandbox; `cargo build --bins` builds them
  --reminders N    pending reminders (40)
  --pace N         factor for the drill's times, for a slow machine (1: it takes about 90 seconds)
  --once           restores with --sent-until: reminders due between backup and loss are not sent again
  --keep           keeps the folder with logs, backup and messages

It needs PostgreSQL's server and client programs, curl and python3. It uses a private PostgreSQL, free ports on 127.0.0.1
and its own processes, and removes them at the end.
HELP
}

say() { printf '%s %s\n' "$(date -u +%T)" "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

bin=target/debug many=40 pace=1 once=false keep=false
while [ $# -gt 0 ]; do
    case $1 in
        --bin) bin=${2:?--bin needs a folder}; shift 2 ;;
        --reminders) many=${2:?--reminders needs a number}; shift 2 ;;
        --pace) pace=${2:?--pace needs a number}; shift 2 ;;
        --once) once=true; shift ;;
        --keep) keep=true; shift ;;
        -h | --help) usage; exit ;;
        *) usage >&2; fail "unknown argument: $1" ;;
    esac
done
[[ $many =~ ^[1-9][0-9]{0,3}$ && $pace =~ ^[1-9]$ ]] || fail '--reminders: 1 to 9999; --pace: 1 to 9'
# Ends the drill even if a step hangs.
if [ "${DRILL_IS_BOUNDED:-}" != yes ]; then
    flags=(--bin "$bin" --reminders "$many" --pace "$pace")
    ! $once || flags+=(--once)
    ! $keep || flags+=(--keep)
    DRILL_IS_BOUNDED=yes exec timeout --foreground --kill-after=30 $((pace * 240 + many)) scripts/restore-drill.sh "${flags[@]}"
fi
bin=$(realpath -m "$bin")
for program in reminder-service event-service notification-scheduler notification-service sandbox; do
    [ -x "$bin/$program" ] || fail "$bin/$program does not exist: run cargo build --bins, or give --bin"
done
for program in curl python3 psql pg_dump; do command -v "$program" >/dev/null || fail "$program is not installed"; done

# Start and stop of the suite.

folder=$(mktemp -d "${TMPDIR:-/tmp}/restore-drill.XXXXXX")
chmod 755 "$folder"
declare -A pid=()
finish() {
    local code=$?
    trap - EXIT TERM INT
    if [ ${#pid[@]} != 0 ]; then { kill -KILL "${pid[@]}" && wait "${pid[@]}"; } 2>/dev/null || true; fi
    scripts/restore-cluster.sh stop "$folder/postgres"
    if $keep || [ "$code" != 0 ]; then say "logs, backup and messages are in $folder"; else rm -rf "$folder"; fi
    exit "$code"
}
trap finish EXIT
trap 'exit 143' TERM INT

until_true() {
    local limit=$((SECONDS + $1 * pace)) what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$limit" ] || fail "timeout: $what (see $folder/*.log)"
        sleep 0.05
    done
}

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U drill "$@"; }
url() { printf 'postgres://drill@127.0.0.1:%s/%s' "$port" "$1"; }

declare -A database=([reminder-service]=reminder [event-service]=notification [notification-scheduler]=notification [notification-service]=device)
environment() {
    printf '%s\0' PATH="$PATH" APP_ENV=staging BIND_ADDRESS=127.0.0.1 PORT=0 ADMIN_PORT=0 BUS=postgres BUS_DATABASE_URL="$(url bus)" \
        DATABASE_URL="$(url "${database[$1]}")" FCM_ENDPOINT="$sandbox" FCM_PROJECT_CONFIG="$folder/account.json" \
        AWS_ENDPOINT_URL="$sandbox" AWS_ACCESS_KEY_ID=drill AWS_SECRET_ACCESS_KEY=drill SES_SOURCE_EMAIL=reminders@example.com \
        OPERATOR_TOKEN=token-of-the-drill
}

declare -A address=()
start() {
    local variables
    mapfile -d '' variables < <(environment "$1")
    : >"$folder/$1.log"
    env -i "${variables[@]}" "$bin/$1" >>"$folder/$1.log" 2>&1 &
    pid[$1]=$!
    until_true 30 "$1 starts" grep -q '^listening' "$folder/$1.log"
    address[$1]=http://$(sed -nE 's/^listening rest=([^ ]+).*/\1/p' "$folder/$1.log")
    until_true 30 "$1 is ready" curl -sf -o /dev/null "http://$(sed -nE 's/^listening .*admin=(.*)/\1/p' "$folder/$1.log")/readyz"
}
end() {
    local signal=$1 service
    shift
    for service in "$@"; do kill "-$signal" "${pid[$service]}"; done
    for service in "$@"; do wait "${pid[$service]}" 2>/dev/null || true; unset "pid[$service]"; done
}
migrate() {
    local service variables
    for service in reminder-service event-service notification-service notification-scheduler; do
        mapfile -d '' variables < <(environment "$service")
        env -i "${variables[@]}" "$bin/$service" migrate >"$folder/$service.migrate.log" 2>&1 || fail "$service migrate failed: see $folder"
    done
}

# Calls of the test user.

as_ada=(-sf --max-time 20 -H 'X-Authenticated-Userid: ada' -H 'X-Consumer-Username: ada@example.com' -H 'Content-Type: application/json')
at() { date -u -d "@$1" +%FT%TZ; }

# create_reminders GROUP COUNT DUE EXPECTED [FIELDS]: creates reminders of a group, eight due each
# second (the stand-in for SES accepts 14), and records how often each is expected on each channel,
# and when first.
create_reminders() {
    local group=$1 count=$2 due expected=$4 more=${5:-} number id
    for number in $(seq "$count"); do
        due=$(($3 + (number - 1) / 8))
        id=$(curl "${as_ada[@]}" "${address[reminder-service]}/reminders" -d "{\"title\": \"$group $number\", \"message\": \"drill\",
            \"channels\": [\"push\", \"email\"], \"date\": \"$(at "$due")\"$more}" | sed -E 's/.*"id":"([^"]*)".*/\1/')
        printf '%s\t%s\t%s\t%s\t%s\n' "$id" "$group" "$group $number" "$(at "$due")" "$expected" >>"$folder/created.tsv"
    done
}
ids_of() { awk -F '\t' -v group="$1" '$2 == group { print $1 }' "$folder/created.tsv"; }

collect() { curl -sf --max-time 20 "$sandbox/_sandbox/messages" -o "$folder/arrived.json"; }
arrived() {
    collect
    python3 - "$folder/arrived.json" "$1" <<'PYTHON'
import json, sys
messages = json.load(open(sys.argv[1]))["messages"]
print(sum((message.get("title") or message.get("subject")).startswith(sys.argv[2]) for message in messages))
PYTHON
}
has_arrived() { [ "$(arrived "$1")" -ge "$2" ]; }
sleep_until() { local left=$(($1 - $(date +%s))); [ "$left" -le 0 ] || sleep "$left"; }
is_quiet() { [ "$(sql "$1" -c "$2")" = 0 ]; }

say 'starting a private PostgreSQL, the stand-ins for FCM and SES, and the four services'
port=$(scripts/restore-cluster.sh start "$folder/postgres")
for name in reminder notification device bus; do sql postgres -c "create database $name"; done
"$bin/sandbox" --port 0 --service-account "$folder/account.json" >"$folder/sandbox.log" 2>&1 &
pid[sandbox]=$!
until_true 30 'the sandbox starts' grep -q '^listening' "$folder/sandbox.log"
sandbox=http://$(sed -nE 's/^listening rest=([^ ]+).*/\1/p' "$folder/sandbox.log")
services=(event-service notification-service reminder-service notification-scheduler)
migrate
for service in "${services[@]}"; do start "$service"; done
curl "${as_ada[@]}" -o /dev/null "${address[notification-service]}/device/register" -d '{"fcmToken": "phone", "type": "android", "name": "phone"}'

say "creating reminders: 10 that are due before the backup, $many that are pending, and edge cases"
# docs/operations/restore.md says which messages each group is expected to cause.
now=$(date +%s)
again=$((now + pace * 3 + 60))
create_reminders 'before the backup' 10 $((now + pace * 3)) 1
create_reminders 'recurring' 3 $((now + pace * 3)) 2 ', "recurrence": {"rrule": "FREQ=MINUTELY;COUNT=2"}'
has_all() { is_quiet notification "select $1 - count(*) from notifications where state = 'active'"; }
until_true 20 'the first reminders arrive' has_arrived 'before the backup' 20
until_true 20 'the first occurrences arrive' has_arrived 'recurring' 6

base=$(date +%s)
lost_at=$((base + pace * 20)) back_at=$((base + pace * 28)) pending_at=$((base + pace * 50 + many / 15))
create_reminders 'pending' "$many" "$pending_at" 1
create_reminders 'due during the outage' 10 $((lost_at + pace * 4)) 1
create_reminders 'due between backup and loss' 5 $((lost_at - pace * 3)) "$($once && echo 1 || echo 2)"
create_reminders 'deleted in between' 3 "$pending_at" 0
until_true 20 'event-service knows them all' has_all $((10 + 3 + many + 10 + 5 + 3))

# Changes that reminder-service has published and event-service has not received when the backup is
# taken.
end TERM event-service
create_reminders 'created in between' 5 "$pending_at" 1 ', "url": "https://example.com/", "data": {"key": "value"}, "locale": "de",
    "priority": "high", "timeZone": "Europe/Berlin", "notifyOffsets": [0], "expiresAfterMinutes": 60'
create_reminders 'series created in between' 1 "$pending_at" 1 ', "timeZone": "Europe/Berlin",
    "recurrence": {"rrule": "FREQ=YEARLY", "exdates": ["2099-01-01"], "gap": "skip", "fold": "both"}'
for id in $(ids_of 'deleted in between'); do curl "${as_ada[@]}" -o /dev/null -X DELETE "${address[reminder-service]}/reminders/$id"; done
until_true 20 'the topic has accepted everything' is_quiet reminder 'select count(*) from outbox'

for name in REMINDER NOTIFICATION DEVICE; do
    export "${name}_DB_HOST=127.0.0.1" "${name}_DB_PORT=$port" "${name}_DB_USER=drill" "${name}_DB_NAME=${name,,}"
done
export PGSSLMODE=disable REMINDER_SERVICE="$bin/reminder-service"
waiting=$(sql notification -c 'select count(*) from occurrences where pending')
started=$(date +%s.%N)
scripts/backup.sh --to "$folder/store"
backup_took=$(python3 -c "import time; print(f'{time.time() - $started:.1f}')")
[ "$(date +%s)" -lt $((lost_at - pace * 4)) ] || fail 'this machine is too slow for the times of the drill: give --pace 2'
start event-service
create_reminders 'created after the backup' 5 "$pending_at" 0
until_true 20 'reminders due before the loss arrive' has_arrived 'due between backup and loss' 10

# Prints what event-service stored of these reminders. The result of the messages of
# restore-reconcile.sh must be the same as that of reminder-service's own messages.
created_in_between() {
    sql notification -c "select item_id, user_email, version, state, date, notify_offsets, recurrence, content, acknowledged, occurred_at from notifications
        where item_id = any (string_to_array('$(ids_of 'created in between' | paste -sd,),$(ids_of 'series created in between')', ',')) order by 1"
}
until_true 20 'event-service knows the reminders created in between' has_all $((10 + 3 + many + 10 + 5 + 5 + 1 + 5))
created_in_between >"$folder/in-between.before"

sleep_until "$lost_at"
say 'the loss: killing the services, dropping every database including the bus'
collect
end KILL "${services[@]}"
for name in reminder notification device bus; do
    sql postgres -c "drop database $name with (force)" -c "create database $name"
done
lost=$(date +%s.%N)

say 'restoring'
scripts/restore.sh --from "$folder/store"
migrate
if $once; then
    scripts/restore-reconcile.sh --repair --sent-until "$(at "${lost%.*}")"
else
    scripts/restore-reconcile.sh --repair
fi
restore_took=$(python3 -c "import time; print(f'{time.time() - $lost:.1f}')")
sleep_until "$back_at"
for service in "${services[@]}"; do start "$service"; done
running_at=$(date +%s)
[ "$(date +%s)" -lt $((pending_at - pace * 3)) ] || fail 'this machine is too slow for the times of the drill: give --pace 2'

say "the services run again; waiting until the last reminder is due"
sleep_until $((pending_at + many / 8))
until_true 30 'the pending reminders arrive' has_arrived 'pending' $((many * 2))
until_true 30 'the reminders published again arrive' has_arrived 'created in between' 10
created_in_between >"$folder/in-between.after"
diff "$folder/in-between.before" "$folder/in-between.after" >&2 || fail 'the messages of restore-reconcile.sh differ from those of reminder-service (above)'
sleep_until "$again"
until_true 30 'the next occurrences arrive' has_arrived 'recurring' 12
# Gives messages that should not arrive the time to do so.
sleep $((pace * 3))
collect
say 'comparing the databases: no difference is expected'
scripts/restore-reconcile.sh --settled 0 || fail 'the databases differ, although everything has arrived'

# Counts the messages.

python3 - "$folder" "$waiting" "$backup_took" "$restore_took" "${lost%.*}" "$running_at" <<'PYTHON'
import collections, datetime, json, sys

folder, waiting, backup_took, restore_took, lost_at, running_at = sys.argv[1:]
time = datetime.datetime.fromisoformat
created = [line.rstrip("\n").split("\t") for line in open(f"{folder}/created.tsv")]
titles = {title: (group, time(due), int(expected)) for _, group, title, due, expected in created}
arrivals, unknown = collections.defaultdict(list), 0
for message in json.load(open(f"{folder}/arrived.json"))["messages"]:
    title = message.get("title") or message.get("subject")
    if title in titles:
        arrivals[title, message["kind"]].append(time(message["at"]))
    else:
        unknown += 1

print(f"\n{'group':29}{'created':>7}{'expected':>10}{'arrived':>9}{'lost':>6}{'repeated':>10}{'early':>7}{'latest':>10}")
faults = unknown
for group in dict.fromkeys(row[1] for row in created):
    of_group = [title for title in titles if titles[title][0] == group]
    lost = more = early = expected = count = 0
    late, late_outside_of_outage = [], [0]
    for title in of_group:
        _, due, times = titles[title]
        for channel in ("push", "email"):
            arrived = sorted(arrivals[title, channel])
            expected, count = expected + times, count + len(arrived)
            lost, more = lost + max(0, times - len(arrived)), more + max(0, len(arrived) - times)
            for number, at in enumerate(arrived):
                # A recurring reminder is due again a minute later; a repeated message has the due
                # time of the first one.
                due_at = due + datetime.timedelta(minutes=number if group == "recurring" else 0)
                early += at < due_at
                late.append((at - due_at).total_seconds())
                if not int(lost_at) <= due_at.timestamp() <= int(running_at):
                    late_outside_of_outage.append(late[-1])
    latest = f"{max(late):.2f} s" if late else "-"
    print(f"{group:30}{len(of_group):>6}{expected:>10}{count:>9}{lost:>6}{more:>10}{early:>7}{latest:>10}")
    faults += lost + more + early
    if group in ("pending", "created in between", "series created in between", "recurring") and max(late_outside_of_outage) > 3:
        print(f"  {group}: late")
        faults += 1
print(f"""
arrived and expected count messages: each reminder goes to one device and one mailbox
occurrences pending at the backup: {waiting}; backup {backup_took} s; from the loss until restored and reconciled {restore_took} s
Reminders due during the outage are sent when the services run again; reminders created after the backup are lost.
Reminders due between backup and loss are sent before the loss, and again after it unless --once is given (to a device with
the same collapse key).""")
sys.exit(1 if faults else 0)
PYTHON
