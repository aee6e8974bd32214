# shellcheck shell=bash
# Functions of backup.sh, restore.sh and restore-reconcile.sh: connections to the three databases,
# the place of backups (a folder, or s3://bucket/prefix), and checksums. Sourced, not run.

# In the order of the snapshots. The notifications database comes first: those of reminders and
# devices are then never older, and restore-reconcile.sh can repair every difference
# (docs/operations/restore.md).
# shellcheck disable=SC2034 # read by the scripts that source this file
DATABASES=(notification reminder device)

say() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

require() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool is not installed (the backup image has it; Debian: apt-get install postgresql-client awscli)"
    done
}

# Prints the value of a variable, the content of the file that NAME_FILE names, or the default.
# Fails if there is none of these.
setting() {
    local name=$1 file=$1_FILE
    if [ -n "${!name:-}" ]; then
        printf '%s' "${!name}"
    elif [ -n "${!file:-}" ]; then
        [ -r "${!file}" ] || fail "$file names ${!file}, which cannot be read"
        printf '%s' "$(<"${!file}")"
    elif [ $# -gt 1 ]; then
        printf '%s' "$2"
    else
        fail "$name is not set (and neither is $file); see ${0##*/} --help"
    fi
}

# Sets libpq's variables for a database (reminder, notification, device) in the calling shell. Call
# it in a subshell, because there are three databases. A password is never an argument.
connect_to() {
    local prefix=${1^^}_DB
    PGHOST=$(setting "${prefix}_HOST") || exit
    PGPORT=$(setting "${prefix}_PORT" 5432) || exit
    PGDATABASE=$(setting "${prefix}_NAME") || exit
    PGUSER=$(setting "${prefix}_USER") || exit
    PGPASSWORD=$(setting "${prefix}_PASS" '') || exit
    PGAPPNAME=${0##*/}
    PGCONNECT_TIMEOUT=10
    # The limits that a role has by default are for short statements; a dump is one long statement.
    PGOPTIONS='-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c client_min_messages=warning -c TimeZone=UTC'
    export PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGAPPNAME PGCONNECT_TIMEOUT PGOPTIONS
}

# Runs a command on a database.
with_database() (
    connect_to "$1"
    shift
    exec "$@"
)

PSQL=(psql -X -q -A -t -F $'\t' -v ON_ERROR_STOP=1)

# Prints the answer of one statement, fields separated by tabs.
ask() {
    local database=$1
    shift
    with_database "$database" "${PSQL[@]}" "$@"
}

major_of_client() { pg_dump --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/'; }

# Refuses client programs that are older than a server (they would omit what they do not know) or,
# with `exactly`, newer (their output begins with settings that the server does not know).
require_client_for() {
    local database=$1 which=${2:-} client server
    server=$(ask "$database" -c 'show server_version_num') || fail "cannot reach the $database database: check ${database^^}_DB_HOST, _PORT, _NAME, _USER and _PASS"
    server=$((server / 10000)) client=$(major_of_client)
    if [ "$client" -lt "$server" ] || { [ "$which" = exactly ] && [ "$client" -gt "$server" ]; }; then
        fail "the client programs are of PostgreSQL $client, the server of the $database database is of $server: use client programs of $server (the backup image is built for one version)"
    fi
}

# The place of backups.

# awscli of Debian 12 does not know AWS_ENDPOINT_URL.
s3() {
    local endpoint=${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL:-}}
    aws ${endpoint:+--endpoint-url "$endpoint"} "$@"
}

is_s3() { [[ $1 == s3://* ]]; }

# The bucket, and the key below which a place keeps its backups (empty or ending in /).
s3_bucket() { local rest=${1#s3://}; printf '%s' "${rest%%/*}"; }
s3_prefix() {
    local rest=${1#s3://}
    rest=${rest#"$(s3_bucket "$1")"}
    rest=${rest#/}
    printf '%s' "${rest:+${rest%/}/}"
}

# Ids of complete backups in a place, oldest first. SHA256SUMS is written last: a folder without it
# is not a backup.
list_backups() {
    local keys
    if is_s3 "$1"; then
        keys=$(s3 s3api list-objects-v2 --bucket "$(s3_bucket "$1")" --prefix "$(s3_prefix "$1")" --output text \
            --query "Contents[?ends_with(Key, '/SHA256SUMS')].[Key]") || fail "cannot list $1"
    else
        keys=$(cd "$1" 2>/dev/null && compgen -G '*/SHA256SUMS') || true
    fi
    printf '%s\n' "$keys" | sed -nE 's#^(.*/)?([0-9]{8}T[0-9]{6}Z)/SHA256SUMS$#\2#p' | sort -u
}

# Prints every file of a folder with its checksum, in the form of sha256sum, except the list itself.
write_checksums() {
    (cd "$1" && find . -type f ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum) >"$1/SHA256SUMS"
}

check_checksums() {
    local missing
    (cd "$1" && sha256sum --check --strict --quiet SHA256SUMS) >&2 || fail "$1: a file is not what was backed up (see above): use another backup"
    missing=$(cd "$1" && find . -type f ! -name SHA256SUMS -printf '%P\n' | grep -vxFf <(sed -E 's/^[0-9a-f]{64} [ *]//' SHA256SUMS) || true)
    [ -z "$missing" ] || fail "$1: not in SHA256SUMS: $missing"
}
