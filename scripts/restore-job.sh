#!/usr/bin/env bash
# Writes a Job from the backup's CronJob, to restore from within the cluster, where databases and
# Secrets are reachable.
set -euo pipefail

usage() {
    cat <<'HELP'
Reads the CronJob of the backup as JSON, and writes a Job that runs a script once, with the same image, Secrets,
account and network:

  kubectl -n production get cronjob prod-backup -o json \
      | scripts/restore-job.sh NAME restore.sh --backup 20250101T000000Z | kubectl create -f -
  kubectl -n production wait --for=condition=complete --timeout=2h job/NAME; kubectl -n production logs job/NAME

NAME is the name of the Job. It is followed by restore.sh, restore-reconcile.sh or backup.sh with its arguments.
BACKUP_PLACE is set as in the CronJob. The Job is tried once: find out why a restore failed before you repeat it.
HELP
}

case ${1:-} in '' | -h | --help) usage; exit ;; esac
case ${2:-} in
    restore.sh | restore-reconcile.sh | backup.sh) ;;
    *) usage >&2; exit 2 ;;
esac
exec python3 -c '
import json, sys

name, script, *arguments = sys.argv[1:]
cron = json.load(sys.stdin)
spec = cron["spec"]["jobTemplate"]["spec"]
spec["backoffLimit"] = 0
container, = spec["template"]["spec"]["containers"]
container["command"], container["args"] = [script], arguments
# Not owned by the CronJob: its history limits would delete the Job, and its success would count as
# a backup.
metadata = {"name": name, "namespace": cron["metadata"]["namespace"], "labels": cron["spec"]["jobTemplate"]["metadata"]["labels"]}
print(json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}, indent=2))
' "$@"
