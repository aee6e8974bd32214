#!/usr/bin/env bash
# Restores a backup of backup.sh into empty databases.
set -euo pipefail
# shellcheck source=scripts/backup-lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/backup-lib.sh"

usage() {
    cat <<'HELP'
Restores a backup of backup.sh into existing, empty databases.

  restore.sh --from PLACE --list
  restore.sh --from PLACE [--backup ID] [--only NAME[,NAME]] [--empty DATABASE]... [--jobs N] [--work DIR]
  restore.sh --from PLACE [--backup ID] --check

  --from PLACE      where backups are stored: a folder, or s3://bucket/prefix (BACKUP_PLACE)
  --list            prints the ids of the complete backups, oldest first
  --backup ID       the backup to restore (default: the newest)
  --check           only downloads the backup, and checks every checksum and that each dump can be read
  --only NAMES      one or two of notification, reminder, device (default: all three, because they belong together)
  --empty DATABASE  first drops the content of this database, which otherwise must be empty. DATABASE is its real name
                    (REMINDER_DB_NAME, …); repeat the option for each
  --jobs N          tables and indexes that are restored at once (2)
  --work DIR        folder for the download of a backup from S3 (BACKUP_WORK_DIR, else $TMPDIR or /tmp)

It fails, before it changes anything, if a checksum is wrong, a database is not empty, a service of the suite is
connected to one (scale all four to 0 first), or a server is older than the one that was backed up. At the end it
compares the number of rows of each table with the manifest. For the variables of the connections see backup.sh --help.
Afterwards run restore-reconcile.sh, before you start a service.
HELP
}

place=${BACKUP_PLACE:-} id='' jobs=2 work=${BACKUP_WORK_DIR:-${TMPDIR:-/tmp}} mode=restore only='' may_empty=()
while [ $# -gt 0 ]; do
    case $1 in
        --from) place=${2:?--from needs a folder or s3://bucket/prefix}; shift 2 ;;
        --backup) id=${2:?--backup needs an id; --list shows them}; shift 2 ;;
        --only) only=${2:?--only needs names}; shift 2 ;;
        --empty) may_empty+=("${2:?--empty needs the name of a database}"); shift 2 ;;
        --jobs) jobs=${2:?--jobs needs a number}; shift 2 ;;
        --work) work=${2:?--work needs a folder}; shift 2 ;;
        --list | --check) mode=${1#--}; shift ;;
        -h | --help) usage; exit ;;
        *) usage >&2; fail "unknown argument: $1" ;;
    esac
done
[ -n "$place" ] || fail 'missing: --from, a folder or s3://bucket/prefix (or the variable BACKUP_PLACE)'
[[ $jobs =~ ^[1-9][0-9]?$ ]] || fail "--jobs: expected 1 to 99, not $jobs"
require psql pg_dump pg_restore sha256sum
if is_s3 "$place"; then require aws; fi

known=$(list_backups "$place")
if [ "$mode" = list ]; then printf '%s\n' "$known"; exit; fi
[ -n "$known" ] || fail "there is no complete backup in $place"
id=${id:-$(tail -n 1 <<<"$known")}
grep -qxF -- "$id" <<<"$known" || fail "there is no complete backup $id in $place; --list shows the existing ones"

# The devices database (with the ledger) before the notifications database: if a scheduler starts
# too early, nothing is sent twice.
wanted=()
for database in device reminder notification; do
    if [ -z "$only" ] || [[ ,$only, == *,$database,* ]]; then wanted+=("$database"); fi
done
[ -z "$only" ] || [ "$(tr -cd , <<<"$only" | wc -c)" = $((${#wanted[@]} - 1)) ] || fail "--only: expected notification, reminder or device, not $only"

umask 077
scratch=$(mktemp -d "$work/.restore-$id.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 143' TERM INT
here=$place/$id
if is_s3 "$place"; then
    say "fetching $id"
    here=$scratch/$id
    s3 s3 cp --only-show-errors --recursive "s3://$(s3_bucket "$place")/$(s3_prefix "$place")$id/" "$here"
fi
say "checking $id"
check_checksums "$here"
manifest=$(<"$here/manifest.json")
made_by=$(sed -nE 's/^ *"tool": "(.*)",$/ \1/p' <<<"$manifest")
for database in "${DATABASES[@]}"; do
    pg_restore --list "$here/$database.dump" >/dev/null || fail "pg_restore $(major_of_client) cannot read $database.dump, which was made by$made_by: use that version if it is newer, otherwise another backup"
done
if [ "$mode" = check ]; then say "$id is complete and undamaged"; exit; fi

# Checks before any change.

objects="select count(*) from (
        select relnamespace from pg_class where relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        union all select pronamespace from pg_proc
        union all select typnamespace from pg_type where typtype in ('e', 'd')
    ) as object (namespace) join pg_namespace on pg_namespace.oid = namespace
    where nspname !~ '^pg_' and nspname <> 'information_schema'"
services="select string_agg(distinct application_name, ', ') from pg_stat_activity
    where datname = current_database()
      and application_name in ('reminder-service', 'event-service', 'notification-scheduler', 'notification-service')"
declare -A full=()
for database in "${wanted[@]}"; do
    require_client_for "$database" exactly
    name=$(ask "$database" -c 'select current_database()')
    running=$(ask "$database" -c "$services")
    [ -z "$running" ] || fail "$running is connected to the database $name: scale all four services to 0, then run this again"
    is_older=$(ask "$database" -v manifest="$manifest" -v database="$database" <<<"select split_part(current_setting('server_version'), '.', 1)::int
        < split_part(:'manifest'::jsonb -> 'databases' -> :'database' ->> 'serverVersion', '.', 1)::int")
    [ "$is_older" = f ] || fail "the server of the database $name is older than the one that was backed up"
    full[$database]=$(ask "$database" -c "$objects")
    if [ "${full[$database]}" != 0 ] && [[ " ${may_empty[*]} " != *" $name "* ]]; then
        fail "the database $name is not empty (${full[$database]} tables, views, functions and types). Restore into a new one. If its content may be deleted, give: --empty $name"
    fi
done

# Restoring.

# Drops every schema except those of the system.
empty="do \$\$
declare
    name text;
begin
    for name in select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' loop
        execute format('drop schema %I cascade', name);
    end loop;
    create schema public;
end
\$\$"

# Each event has the number of the transaction that wrote it, by which streams continue. A new
# server counts transactions from the beginning, so the numbers of the old server would be in its
# future, and streams would show these events again later. Number 0 prevents that.
events_are_past="update events set received_xid = 0 where received_xid >= pg_current_xact_id()::text::bigint"

restore() {
    local database=$1 section
    if [ "${full[$database]}" != 0 ]; then ask "$database" -c "$empty"; fi
    for section in pre-data data post-data; do
        (
            connect_to "$database"
            exec pg_restore --dbname="$PGDATABASE" --exit-on-error --no-owner --no-privileges --section="$section" \
                --jobs="$([ "$section" = pre-data ] && echo 1 || echo "$jobs")" "$here/$database.dump"
        ) || fail "$database: pg_restore failed. Repair the cause (above), and run this again with --empty for this database"
        if [ "$database/$section" = notification/data ]; then ask "$database" -c "$events_are_past"; fi
    done
    # Suppresses the warnings about system tables, which only a superuser may analyse.
    ask "$database" -c 'set client_min_messages = error' -c 'vacuum (analyze)'
}

# Compares the number of rows of each table with the snapshot's.
compare() {
    ask "$1" -v manifest="$manifest" -v database="$1" <<<"
        select format('select %L, %s, (select count(*) from %s)', key, value, key)
        from jsonb_each_text(:'manifest'::jsonb -> 'databases' -> :'database' -> 'rows') order by 1 \\gexec" >"$scratch/rows"
    awk -F '\t' '$2 != $3 { print "  " $1 ": " $3 " rows, of " $2; differs = 1 } END { exit differs }' "$scratch/rows" >&2 ||
        fail "$1: the numbers of rows differ from the backup (above)"
    say "$1: $(awk -F '\t' '{ rows += $3 } END { print rows + 0 " rows in " NR " tables, as the manifest says" }' "$scratch/rows")"
}

for database in "${wanted[@]}"; do
    started=$SECONDS
    say "$database: restoring"
    restore "$database"
    compare "$database"
    say "$database: $((SECONDS - started)) s"
done
say "$id is restored. Next: restore-reconcile.sh --repair, then start event-service, reminder-service and notification-service, and the scheduler last"
