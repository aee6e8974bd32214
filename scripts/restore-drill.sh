#!/usr/bin/env bash
# The restore drill: stops the real services, drops their databases, restores them, and counts what
# arrived.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'HELP'
Makes reminders with the real services, backs up (backup.sh), kills the services and drops every database, restores
(restore.sh, restore-reconcile.sh), starts again, and counts what arrived at the stand-ins for FCM and SES. Exits 0 when
every reminder that was pending at the backup fired, once on each channel, on time, and nothing else did.

  restore-drill.sh [--bin DIR] [--reminders N] [--pace N] [--once] [--keep]

  --bin DIR        the binaries (target/debug): the four services and sandbox; `cargo build --bins` makes them
  --reminders N    pending reminders (40)
  --pace N         stretches the drill's times, for a slow machine (1: it takes about 90 seconds)
  --once           restores with --sent-until: what was due between backup and loss is not to come a second time
  --keep           keeps the folder with logs, backup and what arrived

It needs PostgreSQL's server and client programs, curl and python3. Everything is private and ends with it: a PostgreSQL of
its own, free ports on 127.0.0.1, its own processes.
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
    [ -x "$bin/$program" ] || fail "$bin/$program is not there: run cargo build --bins, or give --bin"
done
for program in curl python3 psql pg_dump; do command -v "$program" >/dev/null || fail "$program is not installed"; done

# Start and end of the suite.

folder=$(mktemp -d "${TMPDIR:-/tmp}/restore-drill.XXXXXX")
chmod 755 "$folder"
declare -A pid=()
finish() {
    local code=$?
    trap - EXIT TERM INT
    if [ ${#pid[@]} != 0 ]; then { kill -KILL "${pid[@]}" && wait "${pid[@]}"; } 2>/dev/null || true; fi
    scripts/restore-cluster.sh stop "$folder/postgres"
    if $keep || [ "$code" != 0 ]; then say "logs, backup and what arrived are in $folder"; else rm -rf "$folder"; fi
    exit "$code"
}
trap finish EXIT
trap 'exit 143' TERM INT

until_true() {
    local limit=$((SECONDS + $1 * pace)) what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$limit" ] || fail "waited in vain: $what (see $folder/*.log)"
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
        OPERATOR_TOKEN=the-operators-of-the-drill
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

# Calls of users.

as_ada=(-sf --max-time 20 -H 'X-Authenticated-Userid: ada' -H 'X-Consumer-Username: ada@example.com' -H 'Content-Type: application/json')
at() { date -u -d "@$1" +%FT%TZ; }

# Creates reminders of a group, eight due each second (the stand-in for SES accepts 14), and records
# what is expected of them: how often each arrives on each channel, and when first.
make_reminders() {
    local group=$1 count=$2 due expected=$4 more=${5:-} number id
    for number in $(seq "$count"); do
        due=$(($3 + (number - 1) / 8))
        id=$(curl "${as_ada[@]}" "${address[reminder-service]}/reminders" -d "{\"title\": \"$group $number\", \"message\": \"drill\",
            \"channels\": [\"push\", \"email\"], \"date\": \"$(at "$due")\"$more}" | sed -E 's/.*"id":"([^"]*)".*/\1/')
        printf '%s\t%s\t%s\t%s\t%s\n' "$id" "$group" "$group $number" "$(at "$due")" "$expected" >>"$folder/made.tsv"
    done
}
ids_of() { awk -F '\t' -v group="$1" '$2 == group { print $1 }' "$folder/made.tsv"; }

collect() { curl -sf --max-time 20 "$sandbox/_sandbox/messages" -o "$folder/arrived.json"; }
arrived() {
    collect
    python3 - "$folder/arrived.json" "$1" <<'PYTHON'
import json, sys
print(sum((it.get("title") or it.get("subject")).startswith(sys.argv[2]) for it in json.load(open(sys.argv[1]))["messages"]))
PYTHON
}
has_arrived() { [ "$(arrived "$1")" -ge "$2" ]; }
sleep_until() { local left=$(($1 - $(date +%s))); [ "$left" -le 0 ] || sleep "$left"; }
is_quiet() { [ "$(sql "$1" -c "$2")" = 0 ]; }

say 'a private PostgreSQL, the stand-ins for FCM and SES, the four services'
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

say "making reminders: 10 that fire before the backup, $many that are pending, and those at the edges"
# Groups of reminders. docs/operations/restore.md defines what is expected of each, by the moment of
# its creation or due time.
now=$(date +%s)
again=$((now + pace * 3 + 60))
make_reminders 'before the backup' 10 $((now + pace * 3)) 1
make_reminders 'recurring' 3 $((now + pace * 3)) 2 ', "recurrence": {"rrule": "FREQ=MINUTELY;COUNT=2"}'
has_all() { is_quiet notification "select $1 - count(*) from notifications where state = 'active'"; }
until_true 20 'the first reminders arrive' has_arrived 'before the backup' 20
until_true 20 'the first occurrences arrive' has_arrived 'recurring' 6

base=$(date +%s)
lost_at=$((base + pace * 20)) back_at=$((base + pace * 28)) pending_at=$((base + pace * 50 + many / 15))
make_reminders 'pending' "$many" "$pending_at" 1
make_reminders 'due while all was lost' 10 $((lost_at + pace * 4)) 1
make_reminders 'due between backup and loss' 5 $((lost_at - pace * 3)) "$($once && echo 1 || echo 2)"
make_reminders 'deleted in between' 3 "$pending_at" 0
until_true 20 'the catalogue knows them all' has_all $((10 + 3 + many + 10 + 5 + 3))

# Messages that reminder-service had published and that had not reached the catalogue at the moment
# of the backup.
end TERM event-service
make_reminders 'made in between' 5 "$pending_at" 1 ', "url": "https://example.com/", "data": {"key": "value"}, "locale": "de",
    "priority": "high", "timeZone": "Europe/Berlin", "notifyOffsets": [0], "expiresAfterMinutes": 60'
make_reminders 'series made in between' 1 "$pending_at" 1 ', "timeZone": "Europe/Berlin",
    "recurrence": {"rrule": "FREQ=YEARLY", "exdates": ["2099-01-01"], "gap": "skip", "fold": "both"}'
for id in $(ids_of 'deleted in between'); do curl "${as_ada[@]}" -o /dev/null -X DELETE "${address[reminder-service]}/reminders/$id"; done
until_true 20 'the topic has taken everything' is_quiet reminder 'select count(*) from outbox'

for name in REMINDER NOTIFICATION DEVICE; do
    export "${name}_DB_HOST=127.0.0.1" "${name}_DB_PORT=$port" "${name}_DB_USER=drill" "${name}_DB_NAME=${name,,}"
done
export PGSSLMODE=disable
waiting=$(sql notification -c 'select count(*) from occurrences where pending')
started=$(date +%s.%N)
scripts/backup.sh --to "$folder/store"
backup_took=$(python3 -c "import time; print(f'{time.time() - $started:.1f}')")
[ "$(date +%s)" -lt $((lost_at - pace * 4)) ] || fail 'this machine is too slow for the times of the drill: give --pace 2'
start event-service
make_reminders 'made after the backup' 5 "$pending_at" 0
until_true 20 'what is due before the loss arrives' has_arrived 'due between backup and loss' 10

# Compares the catalogue's result for a message of restore-reconcile.sh with that for the service's
# own message.
made_in_between() {
    sql notification -c "select item_id, user_email, version, state, date, notify_offsets, recurrence, content, acknowledged, occurred_at from notifications
        where item_id = any (string_to_array('$(ids_of 'made in between' | paste -sd,),$(ids_of 'series made in between')', ',')) order by 1"
}
until_true 20 'the catalogue knows what was made in between' has_all $((10 + 3 + many + 10 + 5 + 5 + 1 + 5))
made_in_between >"$folder/in-between.before"

sleep_until "$lost_at"
say 'the loss: SIGKILL, and every database dropped; the bus with what was in it'
collect
end KILL "${services[@]}"
for name in reminder notification device bus; do
    sql postgres -c "drop database $name with (force)" -c "create database $name"
done
lost=$(date +%s.%N)

say 'the restore'
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
[ "$(date +%s)" -lt $((pending_at - pace * 3)) ] || fail 'this machine is too slow for the times of the drill: give --pace 2'

say "up again; waiting until the last is due"
sleep_until $((pending_at + many / 8))
until_true 30 'the pending reminders arrive' has_arrived 'pending' $((many * 2))
until_true 30 'those told again arrive' has_arrived 'made in between' 10
made_in_between >"$folder/in-between.after"
diff "$folder/in-between.before" "$folder/in-between.after" >&2 || fail 'what restore-reconcile.sh tells is not what reminder-service tells (see above)'
sleep_until "$again"
until_true 30 'the next occurrences arrive' has_arrived 'recurring' 12
# Gives messages that should not arrive the time to do so.
sleep $((pace * 3))
collect
say 'what the databases disagree about now: nothing is expected'
scripts/restore-reconcile.sh --settled 0 || fail 'the databases disagree, though everything has arrived'

# Counts what arrived.

python3 - "$folder" "$waiting" "$backup_took" "$restore_took" <<'PYTHON'
import collections, datetime, json, sys

folder, waiting, backup_took, restore_took = sys.argv[1:]
time = datetime.datetime.fromisoformat
made = [line.rstrip("\n").split("\t") for line in open(f"{folder}/made.tsv")]
titles = {title: (group, time(due), int(expected)) for _, group, title, due, expected in made}
arrivals, unknown = collections.defaultdict(list), 0
for it in json.load(open(f"{folder}/arrived.json"))["messages"]:
    title = it.get("title") or it.get("subject")
    if title in titles:
        arrivals[title, it["kind"]].append(time(it["at"]))
    else:
        unknown += 1

print(f"\n{'group':30}{'made':>6}{'expected':>10}{'arrived':>9}{'lost':>6}{'too many':>10}{'early':>7}{'latest':>10}")
faults = unknown
for group in dict.fromkeys(row[1] for row in made):
    mine = [title for title in titles if titles[title][0] == group]
    lost = more = early = expected = count = 0
    late = []
    for title in mine:
        _, due, times = titles[title]
        for channel in ("push", "email"):
            came = sorted(arrivals[title, channel])
            expected, count = expected + times, count + len(came)
            lost, more = lost + max(0, times - len(came)), more + max(0, len(came) - times)
            for number, at in enumerate(came):
                # A recurring reminder is due again a minute later; the second message of a repeat
                # has the due time of the first.
                owed = due + datetime.timedelta(minutes=number if group == "recurring" else 0)
                early += at < owed
                late.append((at - owed).total_seconds())
    latest = f"{max(late):.2f} s" if late else "-"
    print(f"{group:30}{len(mine):>6}{expected:>10}{count:>9}{lost:>6}{more:>10}{early:>7}{latest:>10}")
    faults += lost + more + early
    if group in ("pending", "made in between", "series made in between", "recurring") and late and max(late) > 3:
        print(f"  {group}: late")
        faults += 1
print(f"""
arrived and expected are messages: each reminder goes to one device and one mailbox
occurrences pending at the backup: {waiting}; backup {backup_took} s; from the loss to restored and reconciled {restore_took} s
what was due while everything was lost came once the services were up again, and what was made after the backup is gone.
What was due between backup and loss came before the loss; again after it unless --once (to a device with the same collapse key)""")
sys.exit(1 if faults else 0)
PYTHON
