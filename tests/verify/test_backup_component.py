"""CronJob of the backup: its schedule, identity and environment, and that it runs the operators'
scripts.
"""

import json
import re

import pytest
import yaml

from conftest import ROOT, run, tool

# Of the real overlays, what the component asks for.
ENVIRONMENT = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: production
namePrefix: prod-
resources: [objects.yaml]
components: [backup]
"""
OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: facts, annotations: {config.kubernetes.io/local-config: "true"}}
data: {BACKUP_PLACE: "s3://bucket/dumps", BACKUP_ROLE_ARN: "arn:aws:iam::000000000000:role/prod-backup", AWS_REGION: eu-west-1}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: database}
spec: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.40.0.0/16}}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: event-service, labels: {app.kubernetes.io/name: event-service}}
spec:
  selector: {matchLabels: {app: event-service}}
  template:
    metadata: {labels: {app: event-service}}
    spec: {containers: [{name: event-service, image: "registry.example.com/reminders/event-service:3.1.4-prod"}]}
---
""" + "---\n".join(
    f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}-db-secrets, annotations: {{config.kubernetes.io/local-config: \"true\"}}}}\n"
    for name in ("reminder", "notification", "device")
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment")
    (folder / "kustomization.yaml").write_text(ENVIRONMENT)
    (folder / "objects.yaml").write_text(OBJECTS)
    (folder / "backup").mkdir()
    for file in (ROOT / "k8s/components/backup").glob("*.yaml"):
        (folder / "backup" / file.name).write_text(file.read_text())
    text = run(tool("kubectl"), "kustomize", folder)
    (folder / "rendered.yaml").write_text(text)
    run(tool("kubernetes-validate"), "--strict", folder / "rendered.yaml")
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text)}


@pytest.fixture
def cron(objects):
    return objects["CronJob", "prod-backup"]


def pod_of(cron):
    return cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_runs_daily_without_overlap(cron):
    spec = cron["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (
        "0 0 * * *",
        "Etc/UTC",
        "Forbid",
    )
    assert spec.get("suspend", False) is False
    # It is over, or given up, before the next one and within the 26 hours of the alarm.
    latest = spec["startingDeadlineSeconds"] + spec["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    assert latest <= 24 * 3600 and spec["failedJobsHistoryLimit"] >= 1


def test_uses_image_of_services_version(cron):
    assert (
        pod_of(cron)["containers"][0]["image"] == "registry.example.com/reminders/backup:3.1.4-prod"
    )


def test_meets_restricted_pod_security(cron):
    pod = pod_of(cron)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    rights = container["securityContext"]
    assert (
        rights["readOnlyRootFilesystem"]
        and not rights["allowPrivilegeEscalation"]
        and rights["capabilities"] == {"drop": ["ALL"]}
    )
    assert not pod["automountServiceAccountToken"] and pod["restartPolicy"] == "Never"
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys() and "memory" in container[
        "resources"
    ]["limits"]
    (work,) = (volume for volume in pod["volumes"] if "emptyDir" in volume)
    assert work["emptyDir"]["sizeLimit"]


def test_uses_documented_identity(objects, cron):
    account = objects["ServiceAccount", pod_of(cron)["serviceAccountName"]]
    assert (
        account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        == "arn:aws:iam::000000000000:role/prod-backup"
    )
    environment = {
        variable["name"]: variable["value"] for variable in pod_of(cron)["containers"][0]["env"]
    }
    assert (
        environment["BACKUP_PLACE"] == "s3://bucket/dumps"
        and environment["AWS_REGION"] == "eu-west-1"
    )
    assert environment["PGSSLMODE"] == "require"


def test_connects_with_secret_of_each_database(cron):
    pod = pod_of(cron)
    (container,) = pod["containers"]
    secrets = {
        volume["name"]: volume["secret"]["secretName"]
        for volume in pod["volumes"]
        if "secret" in volume
    }
    mounts = {mount["mountPath"]: secrets.get(mount["name"]) for mount in container["volumeMounts"]}
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    for name in ("reminder", "notification", "device"):
        assert mounts[f"/run/secrets/{name}"] == f"prod-{name}-db-secrets"
        for variable, key in (
            ("HOST", "host"),
            ("NAME", "name"),
            ("USER", "user"),
            ("PASS", "password"),
        ):
            assert environment[f"{name.upper()}_DB_{variable}_FILE"] == f"/run/secrets/{name}/{key}"


def test_reaches_databases_and_s3_only(objects, cron):
    policy = objects["NetworkPolicy", "prod-backup"]["spec"]
    labels = cron["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    chosen = policy["podSelector"]["matchLabels"]
    assert chosen and chosen.items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in policy
    open_to = {rule["ports"][0]["port"]: rule["to"][0]["ipBlock"] for rule in policy["egress"]}
    assert open_to[5432] == {"cidr": "10.40.0.0/16"} and open_to[443]["except"] == [
        "169.254.0.0/16"
    ]


def test_changes_no_existing_object(objects):
    assert objects["Deployment", "prod-event-service"]["metadata"]["labels"] == {
        "app.kubernetes.io/name": "event-service"
    }


def test_runs_restore_with_identity_of_backup(cron, tmp_path):
    command = [
        ROOT / "scripts/restore-job.sh",
        "restore-today",
        "restore.sh",
        "--backup",
        "20250101T000000Z",
    ]
    job = json.loads(run(*command, input=json.dumps(cron)))
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    run(tool("kubernetes-validate"), "--strict", tmp_path / "job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert (container["command"], container["args"]) == (
        ["restore.sh"],
        ["--backup", "20250101T000000Z"],
    )
    (expected,) = pod_of(cron)["containers"]
    same = ("image", "env", "volumeMounts", "securityContext")
    assert [container[key] for key in same] == [expected[key] for key in same]
    assert (
        job["spec"]["template"]["spec"]["volumes"] == pod_of(cron)["volumes"]
        and job["spec"]["backoffLimit"] == 0
    )


def test_image_contains_scripts_of_cronjob():
    recipe = (ROOT / "infra/backup/Dockerfile").read_text()
    (copied,) = re.findall(r"^COPY (.*) /opt/backup/$", recipe, re.MULTILINE)
    for script in copied.split():
        text = (ROOT / "scripts" / script).read_text()
        assert set(re.findall(r"dirname .*\)/([a-z-]+\.sh)", text)) <= set(copied.split()), script
    assert {"backup.sh", "restore.sh", "restore-reconcile.sh"} <= set(copied.split())
    assert re.search(r"^USER 65532:65532$", recipe, re.MULTILINE)
    run(tool("hadolint"), ROOT / "infra/backup/Dockerfile")
