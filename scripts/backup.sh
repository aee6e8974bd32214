#!/usr/bin/env bash
# Backs up the three databases: takes snapshots a fraction of a second apart, dumps them, writes a
# manifest and checksums, and uploads all.
set -euo pipefail
# shellcheck source=scripts/backup-lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/backup-lib.sh"

usage() {
    cat <<'HELP'
Backs up the databases of reminders, notifications and devices, as of moments that are a fraction of a second apart.

  backup.sh --to PLACE [--jobs N] [--work DIR]

  --to PLACE   a folder, or s3://bucket/prefix (BACKUP_PLACE). A backup is PLACE/<time>/ with
               notification.dump reminder.dump device.dump (pg_dump's custom format; folders with --jobs over 1),
               manifest.json (times, versions, rows of each table) and SHA256SUMS, which is written last
  --jobs N     tables of each database that are dumped at once (BACKUP_JOBS, 1); the three databases are always dumped at once
  --work DIR   folder for dumps before their upload (BACKUP_WORK_DIR, else $TMPDIR or /tmp); needs space for all three

Connections: REMINDER_DB_HOST, _PORT (5432), _NAME, _USER, _PASS, and the same with NOTIFICATION_DB and DEVICE_DB.
NAME_FILE=/path sets any of them to the content of a file. libpq's variables apply as well (PGSSLMODE, PGSSLROOTCERT).
S3: the AWS CLI's variables; AWS_ENDPOINT_URL; BACKUP_SSE is AES256 (the default), aws:kms (with BACKUP_KMS_KEY_ID), or
bucket (the bucket's own default). The script checks that the objects are encrypted.

No table is locked meanwhile. Each database needs three connections or, with --jobs N, N + 2.
HELP
}

place=${BACKUP_PLACE:-} jobs=${BACKUP_JOBS:-1} work=${BACKUP_WORK_DIR:-${TMPDIR:-/tmp}}
while [ $# -gt 0 ]; do
    case $1 in
        --to) place=${2:?--to needs a folder or s3://bucket/prefix}; shift 2 ;;
        --jobs) jobs=${2:?--jobs needs a number}; shift 2 ;;
        --work) work=${2:?--work needs a folder}; shift 2 ;;
        -h | --help) usage; exit ;;
        *) usage >&2; fail "unknown argument: $1" ;;
    esac
done
[ -n "$place" ] || fail 'missing: --to, a folder or s3://bucket/prefix (or the variable BACKUP_PLACE)'
[[ $jobs =~ ^[1-9][0-9]?$ ]] || fail "--jobs: expected 1 to 99, not $jobs"
sse=${BACKUP_SSE:-AES256}
[[ $sse == AES256 || $sse == aws:kms || $sse == bucket ]] || fail "BACKUP_SSE: expected AES256, aws:kms or bucket, not $sse"
require psql pg_dump pg_restore sha256sum
if is_s3 "$place"; then require aws; else mkdir -p "$place"; work=$place; fi

# Dumps contain personal data: nobody else may read them.
umask 077
id=$(date -u +%Y%m%dT%H%M%SZ)
scratch=$(mktemp -d "$work/.backup-$id.XXXXXX")
here=$scratch/$id
mkdir "$here" "$scratch/session"
declare -A session=() running=() snapshot=()
finish() {
    # Sessions and dumps of this script that are still running.
    [ ${#running[@]} = 0 ] || kill "${running[@]}" 2>/dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 143' TERM INT

# Starts a psql that stays connected and reads from a descriptor. Its open transaction keeps the
# snapshot for pg_dump.
open_session() {
    local database=$1 pipe=$scratch/session/$1 feed
    mkfifo "$pipe.in"
    (connect_to "$database"; exec "${PSQL[@]}") <"$pipe.in" >"$pipe.out" 2>"$pipe.err" &
    running[$database.session]=$!
    exec {feed}>"$pipe.in"
    session[$database]=$feed
}

# Sends statements to a session and prints their results.
query() {
    local database=$1 statements=$2 out=$scratch/session/$1.out seen end
    seen=$(wc -c <"$out")
    end="end of the results after $seen bytes"
    printf '%s;\n\\echo %s\n' "$statements" "$end" >&"${session[$database]}"
    until [ "$(tail -n 1 "$out")" = "$end" ]; do
        kill -0 "${running[$database.session]}" 2>/dev/null || fail "the $database database refused: $(<"$scratch/session/$database.err")"
        sleep 0.01
    done
    tail -c +$((seen + 1)) "$out" | sed '$d'
}

say "backup $id: connecting"
for database in "${DATABASES[@]}"; do require_client_for "$database"; done
for database in "${DATABASES[@]}"; do open_session "$database"; done
for database in "${DATABASES[@]}"; do query "$database" 'select 1' >/dev/null; done

# Takes the snapshots in this order, one immediately after the other.
for database in "${DATABASES[@]}"; do
    snapshot[$database]=$(query "$database" "begin transaction isolation level repeatable read read only;
        select pg_export_snapshot() || ' ' || to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    say "$database: snapshot ${snapshot[$database]}"
done

dump() {
    local database=$1 format=(--format=custom)
    [ "$jobs" = 1 ] || format=(--format=directory --jobs="$jobs")
    connect_to "$database"
    exec pg_dump "${format[@]}" --snapshot="${snapshot[$database]% *}" --no-owner --no-privileges --lock-wait-timeout=60s \
        --file="$here/$database.dump"
}

# Counts the rows of each table in the transaction of the snapshot; a restore is compared with them.
describe() {
    local database=$1 tables counted schema
    tables=$(query "$database" "select format('%I.%I', nspname, relname) from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relkind = 'r' and nspname !~ '^pg_' and nspname <> 'information_schema' order by 1")
    counted=$(while read -r table; do
        [ -z "$table" ] || printf "select '%s', count(*) from %s;\n" "${table//\'/\'\'}" "$table"
    done <<<"$tables")
    schema='null'
    ! grep -qxF 'public._sqlx_migrations' <<<"$tables" || schema='(select max(version) from _sqlx_migrations where success)'
    query "$database" "${counted:-select}" >"$scratch/$database.rows"
    query "$database" "select jsonb_build_object('database', current_database(), 'snapshotAt', '${snapshot[$database]#* }',
        'serverVersion', current_setting('server_version'), 'schemaVersion', $schema, 'bytes', pg_database_size(current_database()))" \
        >"$scratch/$database.json"
}

started=$SECONDS
for database in "${DATABASES[@]}"; do
    dump "$database" &
    running[$database.dump]=$!
done
for database in "${DATABASES[@]}"; do describe "$database"; done
for database in "${DATABASES[@]}"; do
    wait "${running[$database.dump]}" || fail "pg_dump of the $database database failed (see above)"
    unset "running[$database.dump]"
done
took=$((SECONDS - started))
for database in "${DATABASES[@]}"; do printf 'rollback;\n\\q\n' >&"${session[$database]}"; done

# Checks that pg_restore can read each dump, and that it has the contents of every counted table.
for database in "${DATABASES[@]}"; do
    listed=$(pg_restore --list "$here/$database.dump" | grep -c ' TABLE DATA ' || true)
    counted=$(grep -c . "$scratch/$database.rows" || true)
    [ "$listed" = "$counted" ] || fail "$database.dump contains $listed of $counted tables: this backup is discarded"
done

manifest() {
    local database separator='' row
    printf '{\n  "id": "%s",\n  "tool": "%s",\n  "format": "%s",\n  "databases": {' "$id" "$(pg_dump --version)" "$([ "$jobs" = 1 ] && echo custom || echo directory)"
    for database in "${DATABASES[@]}"; do
        row=$(sed -E 's/^(.*)\t([0-9]+)$/"\1": \2/' "$scratch/$database.rows" | sed 's/\\/\\\\/g' | paste -sd, -)
        printf '%s\n    "%s": %s, "rows": {%s}}' "$separator" "$database" "$(sed 's/}$//' "$scratch/$database.json")" "$row"
        separator=,
    done
    printf '\n  }\n}\n'
}
manifest >"$here/manifest.json"
write_checksums "$here"
check_checksums "$here"
size=$(du -sb "$here" | cut -f1)

# Uploads everything, the checksums last, and checks that it is complete and encrypted.
upload() {
    local bucket key requested=() uploaded encryption
    bucket=$(s3_bucket "$place") key=$(s3_prefix "$place")$id
        [ "$sse" = bucket ] || requested=(--sse "$sse")
    [ "$sse" != aws:kms ] || [ -z "${BACKUP_KMS_KEY_ID:-}" ] || requested+=(--sse-kms-key-id "$BACKUP_KMS_KEY_ID")
    s3 s3 cp --only-show-errors --recursive --no-follow-symlinks --exclude SHA256SUMS "${requested[@]}" "$here" "s3://$bucket/$key"
    uploaded=$(s3 s3api list-objects-v2 --bucket "$bucket" --prefix "$key/" --query 'Contents[].[Key,Size]' --output text)
    diff <(cd "$here" && find . -type f ! -name SHA256SUMS -printf '%P\t%s\n' | sort) <(sort <<<"${uploaded//"$key/"/}") >&2 ||
        fail "the upload to $place/$id is incomplete (<: the local file and its size, >: the uploaded one)"
    s3 s3 cp --only-show-errors "${requested[@]}" "$here/SHA256SUMS" "s3://$bucket/$key/SHA256SUMS"
    encryption=$(s3 s3api head-object --bucket "$bucket" --key "$key/SHA256SUMS" --query ServerSideEncryption --output text)
    case $sse/$encryption in
        AES256/AES256 | aws:kms/aws:kms | bucket/AES256 | bucket/aws:kms*) ;;
        *) fail "requested the encryption $sse, but the uploaded object has $encryption: check the bucket's policy" ;;
    esac
}

if is_s3 "$place"; then
    upload
else
    # A rename within the file system: the backup appears completely or not at all.
    mv --no-target-directory "$here" "$place/$id"
fi
say "backup $id: done, $size bytes in ${place%/}/$id, dumped in $took s"
