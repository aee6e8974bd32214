#!/usr/bin/env bash
# Creates an environment's topics, queues, dead-letter queues, e-mail and roles by Terraform on a
# local emulator of AWS, and prints the services' variables for them (infra/environments/local).
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
Usage: scripts/terraform-local.sh COMMAND [OPTIONS]

Commands:
  apply     creates or updates the resources, and writes the services' variables to --output
  plan      prints what apply would change; exit status 0: nothing, 2: something
  destroy   deletes all resources
  check     tests all of this against a MiniStack of its own (some minutes)

Options:
  --endpoint URL        address of the emulator, such as http://127.0.0.1:4566 (required)
  --state DIR           folder for Terraform's state and working data; created if it does not exist (required)
  --output FILE         file for the variables, as a JSON object, or as KEY=value lines if its name ends in .env
  --region REGION       region (us-east-1)
  --prefix PREFIX       prefix of every name (local)
  --source-email ADDR   sender of e-mails (reminders@example.com)
  --enveloped QUEUE     a queue (event, notification, ses-feedback) that gets SNS's JSON envelope instead of raw messages;
                        may be repeated

Environment:
  TF_PLUGIN_MIRROR      folder of Terraform providers that is used instead of the registry

Example:
  GATEWAY_PORT=4566 .venv/bin/ministack &
  scripts/terraform-local.sh apply --endpoint http://127.0.0.1:4566 --state .data/terraform --output .data/aws.json
EOF
}

fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }
say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

case "${1:-}" in
    apply | plan | destroy | check) command=$1; shift ;;
    -h | --help) usage; exit 0 ;;
    '') usage >&2; exit 1 ;;
    *) fail "Unknown command $1; scripts/terraform-local.sh --help lists them." ;;
esac

endpoint='' state='' output='' enveloped=()
export TF_VAR_region=us-east-1 TF_VAR_prefix=local TF_VAR_source_email=reminders@example.com
while [ $# -gt 0 ]; do
    case "$1" in -h | --help) usage; exit 0 ;; esac
    [ $# -ge 2 ] || fail "$1 needs a value; see scripts/terraform-local.sh --help."
    case "$1" in
        --endpoint) endpoint=$2 ;;
        --state) state=$2 ;;
        --output) output=$2 ;;
        --region) TF_VAR_region=$2 ;;
        --prefix) TF_VAR_prefix=$2 ;;
        --source-email) TF_VAR_source_email=$2 ;;
        --enveloped) enveloped+=("$2") ;;
        *) fail "Unknown option $1; scripts/terraform-local.sh --help lists them." ;;
    esac
    shift 2
done

if [ "$command" = check ]; then
    [ -x .verify/venv/bin/pytest ] || fail 'The tools are not installed. Run make verify once.'
    exec .verify/venv/bin/pytest tests/verify/applied_databases.py tests/verify/applied_terraform.py -v -rs
fi

command -v terraform >/dev/null || fail 'Missing: terraform, 1.11 or later.'
[ -n "$endpoint" ] || fail 'Missing: --endpoint, the address of the emulator.'
[ -n "$state" ] || fail 'Missing: --state, the folder for the state.'
curl --silent --insecure --output /dev/null --max-time 10 "$endpoint" || fail "Nothing answers at $endpoint. Start the emulator: GATEWAY_PORT=4566 .venv/bin/ministack"
mkdir -p "$state"
state=$(cd "$state" && pwd)
[ -z "$output" ] || output=$(cd "$(dirname "$output")" && pwd)/$(basename "$output")

raw=''
for queue in "${enveloped[@]}"; do
    case "$queue" in event | notification | ses-feedback) raw+="${raw:+,}\"$queue\":false" ;; *) fail "Unknown queue $queue. Expected event, notification or ses-feedback." ;; esac
done
export TF_VAR_endpoint=$endpoint TF_VAR_raw_message_delivery="{$raw}"
export TF_DATA_DIR=$state/data TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1
# A configured file that does not exist would only cause a warning in each command.
[ -z "${TF_CLI_CONFIG_FILE:-}" ] || [ -f "$TF_CLI_CONFIG_FILE" ] || unset TF_CLI_CONFIG_FILE

mirror=${TF_PLUGIN_MIRROR:-}
for folder in /usr/local/share/terraform/plugins /usr/share/terraform/plugins /opt/*; do
    [ -n "$mirror" ] || [ ! -d "$folder/registry.terraform.io/hashicorp/aws" ] || mirror=$folder
done

cd infra/environments/local
terraform init -no-color -reconfigure -lockfile=readonly ${mirror:+-plugin-dir="$mirror"} -backend-config=path="$state/terraform.tfstate" >"$state/init.log" 2>&1 ||
    fail "terraform init failed:
$(cat "$state/init.log")"

case "$command" in
    plan)
        exec terraform plan -no-color -detailed-exitcode -lock-timeout=60s
        ;;
    destroy)
        terraform destroy -no-color -auto-approve -lock-timeout=60s >&2
        ;;
    apply)
        say "applying infra/environments/local to $endpoint (Terraform waits a minute and a half for SQS)"
        terraform apply -no-color -auto-approve -lock-timeout=60s >&2
        case "$output" in
            '') terraform output -json variables ;;
            *.env) terraform output -json variables | python3 -c 'import json, sys; [print(f"{name}={value}") for name, value in json.load(sys.stdin).items()]' >"$output" ;;
            *) terraform output -json variables >"$output" ;;
        esac
        ;;
esac
