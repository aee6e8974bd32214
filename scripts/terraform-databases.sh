#!/usr/bin/env bash
# Creates what Terraform cannot create: the databases on an environment's PostgreSQL, an owner and a
# user for each, and the values of the secrets that the services read. A second run without options
# changes nothing.
#
# The database `devices` belongs to the role `devices`, which cannot log in. The users `devices_a`
# and `devices_b` log in and act as `devices`. A rotation switches to the other user; running
# services can use the former one until it is retired.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
Usage: scripts/terraform-databases.sh --database FILE [OPTIONS]

Run it after `terraform apply` of an environment, from a machine that can reach the database (for example through a tunnel)
and with AWS credentials that may read and write the environment's secrets.

Options:
  --database FILE   the environment's output: terraform output -json database >FILE
  --via HOST:PORT   address by which this machine reaches the database (default: its own, port 5432); it is not written
                    into the secrets
  --rotate          gives the other user of each database a new password and writes both into the secrets; the former user
                    stays valid
  --retire          disables the log-in of the user that is not in the secrets; run it when the services use the new one
  --dry-run         prints what would be done, and changes nothing

Environment:
  AWS_REGION, AWS_PROFILE, …   as for the aws command
  PGSSLMODE, PGSSLROOTCERT     verification of the server's certificate (require; verify-full with RDS's bundle is better)

Needs: aws, psql, python3.
EOF
}

fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }
say() { printf '%s\n' "$*"; }

database='' via='' rotate=false retire=false dry_run=false
while [ $# -gt 0 ]; do
    case "$1" in
        --database | --via)
            [ $# -ge 2 ] || fail "$1 needs a value; see scripts/terraform-databases.sh --help."
            if [ "$1" = --via ]; then via=$2; else database=$2; fi
            shift
            ;;
        --rotate) rotate=true ;;
        --retire) retire=true ;;
        --dry-run) dry_run=true ;;
        -h | --help) usage; exit 0 ;;
        *) fail "Unknown option $1; see scripts/terraform-databases.sh --help." ;;
    esac
    shift
done

for tool in aws psql python3; do
    command -v "$tool" >/dev/null || fail "Missing: $tool."
done
[ "$rotate" = false ] || [ "$retire" = false ] || fail 'Give either --rotate or --retire: --retire only when the services use the new user.'
[ -n "$database" ] || fail 'Missing: --database, the output of Terraform (see --help).'
[ -r "$database" ] || fail "Cannot read $database."

# Prints a field of a JSON document on standard input by its path; nothing if it does not exist.
field() { python3 -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1:]:
    value = (value or {}).get(name)
print("" if value is None else value)' "$@"; }

address=$(field address <"$database")
master_secret=$(field master_secret_arn <"$database")
[ -n "$address" ] && [ -n "$master_secret" ] || fail "$database is not the output \`database\` of an environment."
via=${via:-$address:5432}

# Secrets are passed by standard input or environment, never on a command line, which everybody on
# the machine can read.

# Prints a secret's value, or nothing if it has none yet. Any other error ends the script, because it
# must not be mistaken for a secret without a value.
secret() {
    local answer
    if answer=$(aws secretsmanager get-secret-value --secret-id "$1" --output json 2>&1); then
        field SecretString <<<"$answer"
    elif [[ $answer != *ResourceNotFoundException* ]]; then
        fail "The secret $1 cannot be read: $answer"
    fi
}
master=$(secret "$master_secret")
[ -n "$master" ] || fail "The master's secret $master_secret has no value."
export PGHOST=${via%:*} PGPORT=${via##*:} PGSSLMODE=${PGSSLMODE:-require} PGCONNECT_TIMEOUT=10
PGUSER=$(field username <<<"$master") PGPASSWORD=$(field password <<<"$master")
export PGUSER PGPASSWORD
psql --no-psqlrc --quiet --dbname postgres --command 'select 1' >/dev/null || fail "The database cannot be reached at $via."

# Prints the verifier that PostgreSQL stores for a password (SCRAM-SHA-256, RFC 5802 and 7677). It is
# sent instead of the password, which then appears in no log and no statistics of the server.
verifier() {
    # shellcheck disable=SC2016 # the dollars are the format's
    PASSWORD=$1 python3 -c 'import base64, hashlib, hmac, os
salt, rounds = os.urandom(16), 4096
salted = hashlib.pbkdf2_hmac("sha256", os.environ["PASSWORD"].encode(), salt, rounds)
stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
server = hmac.digest(salted, b"Server Key", "sha256")
salt, stored, server = (base64.b64encode(value).decode() for value in (salt, stored, server))
print(f"SCRAM-SHA-256${rounds}:{salt}${stored}:{server}")'
}

# Creates a database, its owner and the user that logs in, unless they exist already.
create_database() {
    OWNER=$1 LOGIN=$2 VERIFIER=$3 psql --no-psqlrc --quiet --dbname postgres --set ON_ERROR_STOP=1 <<'EOF'
set client_min_messages = warning;
\getenv owner OWNER
\getenv login LOGIN
\getenv verifier VERIFIER
select format('create role %I nologin', :'owner') where not exists (select from pg_roles where rolname = :'owner') \gexec
-- Only a member of a role may make it the owner of a database; RDS's master is no superuser.
select format('grant %I to current_user', :'owner') where not (select rolsuper from pg_roles where rolname = current_user) \gexec
select format('create role %I', :'login') where not exists (select from pg_roles where rolname = :'login') \gexec
select format('alter role %I with login password %L', :'login', :'verifier') \gexec
select format('grant %I to %I', :'owner', :'login') \gexec
-- Objects that it creates belong to the owner, so that the other user may use them, too.
select format('alter role %I set role = %L', :'login', :'owner') \gexec
select format('create database %I owner %I', :'owner', :'owner') where not exists (select from pg_database where datname = :'owner') \gexec
-- Only the owner's users may connect to the database.
select format('revoke connect, temporary on database %I from public', :'owner') \gexec
EOF
}

retire_login() {
    LOGIN=$1 psql --no-psqlrc --quiet --dbname postgres --set ON_ERROR_STOP=1 <<'EOF'
\getenv login LOGIN
select format('alter role %I with nologin password null', :'login') where exists (select from pg_roles where rolname = :'login') \gexec
EOF
}

python3 -c 'import json, sys
for database, secret in sorted(json.load(sys.stdin)["secret_names"].items()): print(database, secret)' <"$database" |
    while read -r name secret_name; do
        known=$(secret "$secret_name")
        login=$(field user <<<"${known:-null}")
        password=$(field password <<<"${known:-null}")
        host=$(field host <<<"${known:-null}")
        other=${name}_a
        [ "$login" != "$other" ] || other=${name}_b
        if [ "$retire" = true ]; then
            [ -n "$password" ] || fail "$secret_name has no value yet: run without --retire first."
            [ "$dry_run" = true ] || retire_login "$other" || fail "$name: PostgreSQL refused."
            if [ "$dry_run" = true ]; then say "$name: would disable the log-in of $other; $login stays valid"; else say "$name: $other cannot log in any more; $login can"; fi
            continue
        fi
        changes=()
        if [ -z "$password" ] || [ "$rotate" = true ]; then
            changes+=("user $other with a new password")
        elif [ "$host" != "$address" ]; then
            changes+=("the address $address")
        fi
        if [ "$dry_run" = true ]; then
            say "$name: would create missing roles and the database${changes[*]:+, and write ${changes[*]} into $secret_name}"
            continue
        fi
        if [ -z "$password" ] || [ "$rotate" = true ]; then
            login=$other
            password=$(python3 -c 'import secrets, string; print("".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40)))')
        fi
        # Changes PostgreSQL before the secret, so that a value is valid when a service reads it.
        scram=$(verifier "$password")
        create_database "$name" "$login" "$scram" || fail "$name: PostgreSQL refused."
        if [ ${#changes[@]} -gt 0 ]; then
            NAME=$name HOST=$address LOGIN=$login PASSWORD=$password python3 -c 'import json, os
e = os.environ
print(json.dumps({"host": e["HOST"], "name": e["NAME"], "user": e["LOGIN"], "password": e["PASSWORD"]}), end="")' |
                aws secretsmanager put-secret-value --secret-id "$secret_name" --secret-string file:///dev/stdin >/dev/null
        fi
        say "$name: roles and database exist${changes[*]:+; wrote ${changes[*]} into $secret_name}"
    done
