#!/usr/bin/env bash
# Finds, and with --repair repairs, the differences between the three databases after a restore.
set -euo pipefail
# shellcheck source=scripts/backup-lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/backup-lib.sh"

usage() {
    cat <<'HELP'
Compares the three databases. They are backed up one after the other, and messages that were between them belong to none:
after a restore a reminder may be there that nothing will ever send. --repair mends that by the messages that the services
themselves would send, and by what their tables say:

  restore-reconcile.sh [--repair [--sent-until TIME]] [--verbose] [--settled MINUTES] [--work DIR]

  reminders the catalogue does not know, or knows in another version    are told again (reminder:updated)
  reminders with a delivery ahead for which the catalogue has none       get the next version, and are told again
  notifications of reminders that are not there                          are taken back (reminder:deleted)
  occurrences that were released and that the ledger never heard of      are released again
  occurrences whose outcomes the catalogue never heard of                get the ledger's

What the reminders database says is right. Nothing is sent twice by it: the ledger knows what was sent.

  --repair            mends; otherwise it only tells, and exits 1 when there is something to mend
  --sent-until TIME   what was due between the backup and the loss was sent, and the restored ledger does not know it: as long
                      as it has not expired it would be sent once more. With the time of the loss (2025-01-01T12:00:00Z) it is
                      not: what waits and was due by then ends as suppressed (expired), and series go on after it
  --verbose           names each one
  --settled MINUTES   what is younger may still be under way between running services (10; 0 while no service runs)
  --work DIR          where lists are kept meanwhile (BACKUP_WORK_DIR, else $TMPDIR or /tmp)

After a restore it is run before the services are started, and once more, half an hour later, beside them: repeating it does
no harm. The databases are reached as backup.sh reaches them: see backup.sh --help.
HELP
}

repair=false verbose=false settled='' sent_until='' work=${BACKUP_WORK_DIR:-${TMPDIR:-/tmp}}
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
[ -z "$sent_until" ] || $repair || fail '--sent-until changes what is sent: give --repair as well'
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

# Reminders and the catalogue.

# Reads the catalogue first: a reminder created meanwhile is then published once more, which changes
# nothing, and never cancelled. Reminders of this suite give their ids to their notifications;
# others (of a predecessor) have no row to compare with.
ask notification <<SQL
\\copy (select id, version, state = 'deleted', exists (select from occurrences where notification_id = notifications.id and pending), user_id, user_email from notifications where source = 'reminder' and replace(id::text, '-', '') = item_id) to '$scratch/catalogue'
SQL

# A reminder is wanted if its last delivery is in the future or has not expired.
ask reminder <<SQL
create temp table catalogue (id uuid primary key, version bigint, is_deleted boolean, is_waiting boolean, user_id text, user_email text);
\\copy catalogue from '$scratch/catalogue'
analyze catalogue;
create temp table finding as
    select case
            when catalogue.id is null then 'missing'
            when catalogue.version < reminders.version then 'behind'
            when catalogue.version > reminders.version or is_deleted then 'ahead'
            else 'silent'
        end as kind,
        reminders.id, reminders.user_id, catalogue.user_email, catalogue.version as known
    from reminders left join catalogue using (id)
    where case
        when catalogue.id is null then last_at + make_interval(mins => expires_after_minutes) > now()
        when catalogue.version < reminders.version
            then is_waiting or last_at + make_interval(mins => expires_after_minutes) > now()
        -- Whatever is ahead has an occurrence that waits; of a series, the next.
        else catalogue.version > reminders.version or is_deleted or (not is_waiting and last_at > now() + interval '1 minute')
    end
    union all
    select 'unknown', catalogue.id, catalogue.user_id, null, catalogue.version
    from catalogue where not is_deleted and not exists (select from reminders where reminders.id = catalogue.id);
\\copy (select * from finding order by kind, id) to '$scratch/findings'
\\copy (select distinct user_id from finding where kind <> 'unknown' and user_email is null) to '$scratch/users'
SQL

# Reminders do not have their user's e-mail address; what was sent to the same user does.
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

tell_again() {
    ask reminder <<SQL
begin;
create temp table finding (kind text, id uuid, user_id text, user_email text, known bigint) on commit drop;
\\copy finding from '$scratch/findings'
create temp table address (user_id text, user_email text, at timestamptz) on commit drop;
\\copy address from '$scratch/addresses'
create function pg_temp.precisely(at timestamptz) returns text language sql stable as
    \$\$ select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') \$\$;

update reminders set version = known + 1 from finding where finding.id = reminders.id and kind in ('ahead', 'silent') and version <= known;

-- As reminder-service writes it (docs/ARCHITECTURE.md, The bus). It counts as made when it was, so that what came due since
-- is still delivered; but not so long ago that a series would be gone through from its beginning.
with told as (
    select reminders.*, greatest(updated_at, now() - make_interval(mins => expires_after_minutes)) as at,
        coalesce(finding.user_email, (select address.user_email from address where address.user_id = finding.user_id
            order by address.at desc limit 1)) as user_email
    from reminders join finding using (id, user_id) where kind <> 'unknown'
)
insert into outbox (event_id, body, attributes, lease_until)
select md5(concat_ws('/', 'reconciled', id, version, at))::uuid,
    jsonb_build_object('userId', user_id, 'userEmail', user_email, 'itemId', replace(id::text, '-', ''),
        'eventData', jsonb_strip_nulls(jsonb_build_object(
            'date', pg_temp.precisely(date), 'notifyOffsets', notify_offsets, 'acknowledged', pg_temp.precisely(acknowledged),
            'snooze', case when snooze_date is not null
                then jsonb_build_object('date', pg_temp.precisely(snooze_date), 'until', pg_temp.precisely(snooze_until)) end,
            'channels', channels, 'title', title, 'message', message, 'url', url, 'priority', priority, 'locale', locale,
            'timeZone', time_zone, 'expiresAfterMinutes', expires_after_minutes))
            || case when recurrence is null then '{}' else jsonb_build_object('recurrence', recurrence) end
            || case when data = '{}' then '{}' else jsonb_build_object('data', data) end)::text,
    jsonb_build_object('eventItemType', 'reminder', 'eventType', 'reminder:updated', 'userId', user_id, 'schema', '2',
        'eventId', md5(concat_ws('/', 'reconciled', id, version, at))::uuid, 'version', version::text, 'occurredAt', wire_time(at)),
    '-infinity'
from told on conflict (event_id) do nothing;

insert into outbox (event_id, body, attributes, lease_until)
select md5(concat_ws('/', 'reconciled', id, known, 'deleted'))::uuid,
    jsonb_build_object('userId', user_id, 'userEmail', null, 'itemId', replace(id::text, '-', ''), 'eventData', '{}'::jsonb)::text,
    jsonb_build_object('eventItemType', 'reminder', 'eventType', 'reminder:deleted', 'userId', user_id, 'schema', '2',
        'eventId', md5(concat_ws('/', 'reconciled', id, known, 'deleted'))::uuid, 'version', (known + 1)::text, 'occurredAt', wire_time(now())),
    '-infinity'
from finding where kind = 'unknown' and not exists (select from reminders where reminders.id = finding.id)
on conflict (event_id) do nothing;
commit;
SQL
}

# The catalogue and the ledger.

ask notification <<SQL
\\copy (select occurrences.id, due_at from occurrences join notifications on notifications.id = notification_id where occurrences.state = 'released' and notifications.state = 'active' and occurrences.date is not null and coalesce(released_at, due_at) <= now() - interval '$settled minutes') to '$scratch/released'
SQL

# The ledger purges old rows: an occurrence due before its first row may have been sent.
ask device <<SQL
create temp table released (id uuid primary key, due_at timestamptz);
\\copy released from '$scratch/released'
analyze released;
create temp table stands as
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
\\copy (select * from stands where is_unsent) to '$scratch/unsent'
\\copy (select * from stands where not is_unsent) to '$scratch/uncounted'
SQL

settle() {
    cat "$scratch/unsent" "$scratch/uncounted" >"$scratch/stands"
    ask notification <<SQL
begin;
create temp table stands (id uuid primary key, is_unsent boolean, sent int, failed int, suppressed int, deliveries int, at timestamptz, reason text) on commit drop;
\\copy stands from '$scratch/stands'
update occurrences set state = 'pending', released_at = null, lease_until = '-infinity'
from stands where occurrences.id = stands.id and state = 'released' and is_unsent;
update occurrences set sent = stands.sent, failed = stands.failed, suppressed = stands.suppressed, deliveries = stands.deliveries,
    outcome_at = stands.at, reason = stands.reason, state = occurrence_state_of(stands.sent, stands.failed, stands.suppressed, stands.deliveries)
from stands where occurrences.id = stands.id and state = 'released' and not is_unsent;
commit;
SQL
}

# Prints the findings.

of_kind() { awk -F '\t' -v kind="$1" '$1 == kind { print $2 }' "$scratch/findings" >"$scratch/$1"; }
for kind in missing behind ahead silent unknown; do of_kind "$kind"; done
found=0
tell() {
    local count
    count=$(wc -l <"$scratch/$1")
    found=$((found + count))
    printf '%8d  %s%s\n' "$count" "$2" "$(if [ "$count" -gt 0 ] && $repair; then printf ': %s' "$3"; fi)"
    if $verbose; then awk -F '\t' '{ print "            " $1 }' "$scratch/$1"; fi
}
tell missing 'reminders that the catalogue does not know' 'told again'
tell behind 'reminders that the catalogue knows in an older version' 'told again'
tell ahead 'reminders that the catalogue knows in a newer version' 'made newer, and told again'
tell silent 'reminders with a delivery ahead, for which nothing waits in the catalogue' 'made newer, and told again'
tell unknown 'notifications of reminders that are not there' 'taken back'
tell unsent 'occurrences that were released and never reached the ledger' 'will be released again'
tell uncounted 'occurrences whose outcomes never reached the catalogue' 'counted'
without=$(grep -cvxFf <(cut -f 1 "$scratch/addresses") "$scratch/users" || true)
[ "$without" = 0 ] || printf '%8d  users of these whose e-mail address nothing tells: their next change of the reminder will\n' "$without"

if [ -n "$sent_until" ]; then
    # The scheduler ends them by its own rules, and creates what follows in their series.
    ended=$(ask notification -c "with passed as (update occurrences set expires_at = due_at
        where pending and due_at <= '$sent_until' and expires_at > due_at returning true) select count(*) from passed")
    printf '%8d  occurrences that were due by %s: not sent again\n' "$ended" "$sent_until"
fi
[ "$found" -gt 0 ] || exit 0
$repair || exit 1
tell_again
settle
