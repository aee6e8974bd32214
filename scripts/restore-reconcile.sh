#!/usr/bin/env bash
# Finds, and with --repair repairs, the differences between the three databases after a restore.
set -euo pipefail
# shellcheck source=scripts/backup-lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/backup-lib.sh"

usage() {
    cat <<'HELP'
Compares the three databases after a restore. Backups are taken of one database after the other, and messages that were
on their way are in none of them: without a repair, some reminders would never be sent. --repair publishes the messages
that the services would have published, and corrects the state of occurrences:

  restore-reconcile.sh [--repair [--sent-until TIME]] [--verbose] [--settled MINUTES] [--work DIR]

  reminders that event-service does not know, or knows in an older version   are published (reminder:updated)
  reminders that event-service knows in a newer version                      get a higher version and are published
  reminders with a future delivery, but without a pending occurrence         get the next version and are published
  notifications whose reminder does not exist                                are cancelled (reminder:deleted)
  released occurrences that never reached the ledger                         are released again
  released occurrences whose outcome never reached event-service             get the outcome that the ledger has

Where they differ, the reminders database decides. Nothing is sent twice, because the ledger knows what was sent.

  --repair            repairs; without it, the script only reports, and exits with 1 if there are differences
  --sent-until TIME   occurrences that were due between the backup and the loss were sent, but the restored ledger does not
                      know it: those that have not expired would be sent again. With the time of the loss
                      (2025-01-01T12:00:00Z) pending occurrences that were due by then end as suppressed (EXPIRED)
                      instead, and their series continue
  --verbose           prints the id of each difference
  --settled MINUTES   ignores differences younger than this, whose messages may still be on their way
                      (10; 0 if no service runs)
  --work DIR          folder for temporary lists (BACKUP_WORK_DIR, else $TMPDIR or /tmp)

Run it after a restore, before the services are started, and again half an hour later, while they run. It may be
repeated without harm. For the variables of the connections see backup.sh --help. --repair runs the program of
reminder-service (REMINDER_SERVICE, else reminder-service in the PATH), which writes the events.
HELP
}

repair=false verbose=false settled='' sent_until='' work=${BACKUP_WORK_DIR:-${TMPDIR:-/tmp}}
program=${REMINDER_SERVICE:-reminder-service}
while [ $# -gt 0 ]; do
    case $1 in
        --repair) repair=true; shift ;;
        --verbose) verbose=true; shift ;;
        --sent-until) sent_until=${2:?--sent-until needs a time}; shift 2 ;;
        --settled) settled=${2:?--settled needs minutes}; shift 2 ;;
        --work) work=${2:?--work needs a folder}; shift 2 ;;
        -h | --help) usage; exit ;;
        *) usage >&2; fail "unknown argument: $1" ;;
    esac
done
[[ $settled =~ ^[0-9]{0,5}$ ]] || fail "--settled: expected minutes, not $settled"
[ -z "$sent_until" ] || [[ $sent_until =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$ ]] || fail "--sent-until: expected a time such as 2025-01-01T12:00:00Z"
[ -z "$sent_until" ] || $repair || fail '--sent-until needs --repair, because it changes what is sent'
require psql pg_dump
umask 077
scratch=$(mktemp -d "$work/.reconcile.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' TERM INT

for database in "${DATABASES[@]}"; do require_client_for "$database"; done
if [ -z "$settled" ]; then
    running=$(ask notification -c "select count(*) from pg_stat_activity where datname = current_database()
        and application_name in ('event-service', 'notification-scheduler')")
    settled=$([ "$running" = 0 ] && echo 0 || echo 10)
fi

# Compares reminders with the notifications of event-service.

# Reads the notifications first: a reminder that is created meanwhile is then published once more,
# which changes nothing, and is not cancelled. A notification has the id of its reminder;
# notifications of a predecessor's reminders have no row to be compared with.
ask notification <<SQL
\\copy (select id, version, state = 'deleted', exists (select from occurrences where notification_id = notifications.id and pending), user_id, user_email from notifications where source = 'reminder' and replace(id::text, '-', '') = item_id) to '$scratch/notifications'
SQL

# A reminder must be known if its last delivery is in the future or has not expired.
ask reminder <<SQL
create temp table notification (id uuid primary key, version bigint, is_deleted boolean, is_pending boolean, user_id text, user_email text);
\\copy notification from '$scratch/notifications'
analyze notification;
create temp table finding as
    select case
            when notification.id is null then 'missing'
            when notification.version < reminders.version then 'behind'
            when notification.version > reminders.version or is_deleted then 'ahead'
            else 'silent'
        end as kind,
        reminders.id, reminders.user_id, notification.user_email, notification.version as known
    from reminders left join notification using (id)
    where case
        when notification.id is null then last_at + make_interval(mins => expires_after_minutes) > now()
        when notification.version < reminders.version
            then is_pending or last_at + make_interval(mins => expires_after_minutes) > now()
        -- A reminder with a future delivery has a pending occurrence; of a series, the next.
        else notification.version > reminders.version or is_deleted or (not is_pending and last_at > now() + interval '1 minute')
    end
    union all
    select 'unknown', notification.id, notification.user_id, null, notification.version
    from notification where not is_deleted and not exists (select from reminders where reminders.id = notification.id);
\\copy (select * from finding order by kind, id) to '$scratch/findings'
\\copy (select distinct user_id from finding where kind <> 'unknown' and user_email is null) to '$scratch/users'
SQL

# The reminders database has no e-mail addresses: takes them from other messages of the same user.
: >"$scratch/addresses"
if [ -s "$scratch/users" ]; then
    for source in notification:notifications:occurred_at device:dispatches:received_at; do
        IFS=: read -r database table at <<<"$source"
        ask "$database" <<SQL >>"$scratch/addresses"
create temp table wanted (user_id text primary key);
\\copy wanted from '$scratch/users'
copy (select distinct on (user_id) user_id, user_email, $at from $table join wanted using (user_id)
      where user_email is not null order by user_id, $at desc) to stdout;
SQL
    done
fi

# Runs a command of reminder-service on the reminders database.
reminder_service() (
    connect_to reminder
    unset DATABASE_URL DATABASE_URL_FILE DB_{HOST,PORT,NAME,USER,PASS}_FILE
    export DB_HOST=$PGHOST DB_PORT=$PGPORT DB_NAME=$PGDATABASE DB_USER=$PGUSER DB_PASS=$PGPASSWORD
    exec "$program" "$@"
)

# Publishes the events that repair the differences of reminders. reminder-service has the command,
# because it alone knows how an event is written.
publish_again() {
    [ -s "$scratch/findings" ] || return 0
    ask reminder <<SQL >"$scratch/differences" && reminder_service republish "$scratch/differences"
create temp table finding (kind text, id uuid, user_id text, user_email text, known bigint);
\\copy finding from '$scratch/findings'
create temp table address (user_id text, user_email text, at timestamptz);
\\copy address from '$scratch/addresses'
copy (select kind, id, user_id, coalesce(user_email, (select address.user_email from address where address.user_id = finding.user_id
          order by address.at desc limit 1)), known
      from finding order by kind, id) to stdout;
SQL
}

# Compares released occurrences with the ledger.

ask notification <<SQL
\\copy (select occurrences.id, due_at from occurrences join notifications on notifications.id = notification_id where occurrences.state = 'released' and notifications.state = 'active' and occurrences.date is not null and coalesce(released_at, due_at) <= now() - interval '$settled minutes') to '$scratch/released'
SQL

# The ledger purges old rows: an occurrence that was due before its oldest row may have been sent.
ask device <<SQL
create temp table released (id uuid primary key, due_at timestamptz);
\\copy released from '$scratch/released'
analyze released;
create temp table settlement as
    select released.id, dispatches.occurrence_id is null as is_unsent, sent, failed, suppressed, sent + failed + suppressed as deliveries, at, reason
    from released
    left join dispatches on occurrence_id = released.id
    left join lateral (
        select count(*) filter (where state = 'sent') as sent, count(*) filter (where state = 'failed') as failed,
            count(*) filter (where state = 'suppressed') as suppressed, count(*) filter (where state in ('pending', 'deferred')) as open,
            max(finished_at) as at, (array_agg(reason order by finished_at desc))[1] as reason
        from deliveries where deliveries.occurrence_id = released.id
    ) as ledger on true
    where case
        when dispatches.occurrence_id is null then released.due_at > (select coalesce(min(received_at), now() - interval '1 day') from dispatches)
        else open = 0 and at <= now() - interval '$settled minutes'
    end;
\\copy (select * from settlement where is_unsent) to '$scratch/unsent'
\\copy (select * from settlement where not is_unsent) to '$scratch/unapplied'
SQL

settle() {
    cat "$scratch/unsent" "$scratch/unapplied" >"$scratch/settlement"
    ask notification <<SQL
begin;
create temp table settlement (id uuid primary key, is_unsent boolean, sent int, failed int, suppressed int, deliveries int, at timestamptz, reason text) on commit drop;
\\copy settlement from '$scratch/settlement'
update occurrences set state = 'pending', released_at = null, lease_until = '-infinity'
from settlement where occurrences.id = settlement.id and state = 'released' and is_unsent;
update occurrences set sent = settlement.sent, failed = settlement.failed, suppressed = settlement.suppressed, deliveries = settlement.deliveries,
    outcome_at = settlement.at, reason = settlement.reason, state = occurrence_state_of(settlement.sent, settlement.failed, settlement.suppressed, settlement.deliveries)
from settlement where occurrences.id = settlement.id and state = 'released' and not is_unsent;
commit;
SQL
}

# Prints the differences.

of_kind() { awk -F '\t' -v kind="$1" '$1 == kind { print $2 }' "$scratch/findings" >"$scratch/$1"; }
for kind in missing behind ahead silent unknown; do of_kind "$kind"; done
found=0
# report KIND TEXT ACTION: prints the number of differences of a kind and, with --repair, the action.
report() {
    local count
    count=$(wc -l <"$scratch/$1")
    found=$((found + count))
    printf '%8d  %s%s\n' "$count" "$2" "$(if [ "$count" -gt 0 ] && $repair; then printf ': %s' "$3"; fi)"
    if $verbose; then awk -F '\t' '{ print "            " $1 }' "$scratch/$1"; fi
}
report missing 'reminders that event-service does not know' 'published'
report behind 'reminders that event-service knows in an older version' 'published'
report ahead 'reminders that event-service knows in a newer version' 'published with a higher version'
report silent 'reminders with a future delivery, but without a pending occurrence' 'published with the next version'
report unknown 'notifications whose reminder does not exist' 'cancelled'
report unsent 'occurrences that were released and never reached the ledger' 'will be released again'
report unapplied 'occurrences whose outcome never reached event-service' 'outcome applied'
without=$(grep -cvxFf <(cut -f 1 "$scratch/addresses") "$scratch/users" || true)
[ "$without" = 0 ] || printf '%8d  users of these whose e-mail address is not stored: no e-mail until they change the reminder\n' "$without"

# Checked before anything is changed.
if $repair && [ -s "$scratch/findings" ]; then
    command -v "$program" >/dev/null || fail "$program is not installed: set REMINDER_SERVICE to the program of reminder-service"
fi
if [ -n "$sent_until" ]; then
    # The scheduler then ends them as expired, and creates the next occurrences of their series.
    ended=$(ask notification -c "with passed as (update occurrences set expires_at = due_at
        where pending and due_at <= '$sent_until' and expires_at > due_at returning true) select count(*) from passed")
    printf '%8d  occurrences that were due by %s: not sent again\n' "$ended" "$sent_until"
fi
[ "$found" -gt 0 ] || exit 0
$repair || exit 1
published=true
publish_again || published=false
settle
$published || fail 'not all reminders were published (see above)'
