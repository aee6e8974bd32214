"""Test of scripts/deploy.sh and scripts/rollback.sh with a simulated kubectl (pipeline_cluster.py).

The tests check the final state of the cluster: the images that run, and the order in which objects
were applied.
"""

import copy
import re
import shutil

import pytest

from conftest import ENVIRONMENTS, ROOT, SERVICES
from pipeline_cluster import Cluster, documents, secrets_read

ORDER = ["event-service", "notification-service", "notification-scheduler", "reminder-service"]
JOBS = ["event-service", "notification-service", "reminder-service"]


@pytest.fixture
def cluster(tmp_path):
    """A namespace in which nothing runs."""
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


@pytest.fixture
def running(cluster):
    """A namespace that runs 2.0.0."""
    cluster.settle("2.0.0")
    return cluster


# What an administrator applies: the pipeline's role may not.
ADMINISTERED = {
    "Namespace/development",
    "PriorityClass/dev-services",
    "Role/dev-deployers",
    "RoleBinding/dev-deployers",
}


def everywhere(tag):
    return {service: tag for service in SERVICES}


def test_migrates_before_ordered_roll_out(cluster):
    done = cluster.deploy("2.1.0")
    assert done.returncode == 0, done.stderr
    assert cluster.runs() == everywhere("2.1.0-dev")
    order = cluster.order
    assert set(order[:4]) == ADMINISTERED
    assert cluster.rolled_out() == ORDER
    jobs = [at for at, name in enumerate(order) if name.startswith("Job/")]
    first, last = (
        order.index("Deployment/dev-event-service"),
        order.index("Deployment/dev-reminder-service"),
    )
    assert len(jobs) == len(JOBS) and max(jobs) < first
    configuration = [
        at
        for at, name in enumerate(order)
        if re.match("(ConfigMap|ServiceAccount|NetworkPolicy)/", name)
    ]
    assert configuration and max(configuration[:-1]) < min(jobs)
    assert order.index("Ingress/dev-entry") > last
    assert cluster.objects["ConfigMap/dev-releases"]["data"]["history"].startswith("2.1.0 ")


def test_rolls_out_nothing_when_migration_fails(running):
    running.failing_jobs = {"notification-service-migrate"}
    done = running.deploy("2.1.0")
    assert done.returncode == 1
    assert running.rolled_out() == [] and running.runs() == everywhere("2.0.0-dev")
    assert (
        "job/dev-notification-service-migrate" in done.stderr
        and "what the process said last" in done.stderr
    )
    assert "ConfigMap/dev-releases" not in running.objects, (
        "what failed is not remembered as deployed"
    )


def test_rolls_back_all_when_one_is_not_ready(running):
    applied = copy.deepcopy(running.applied)
    running.never_ready = {"notification-scheduler:2.1.0"}
    done = running.deploy("2.1.0")
    assert done.returncode == 1
    assert running.rolled_out() == ORDER[:3], "what comes after the failed one is not begun"
    assert running.runs() == everywhere("2.0.0-dev")
    undone = [call for call in running.calls if call.startswith("rollout undo")]
    assert [call.split()[2] for call in undone] == [
        f"deployment/dev-{service}" for service in reversed(ORDER[:3])
    ]
    assert running.applied == applied, "the next merge starts from what runs"
    for said in (
        "dev-notification-scheduler did not become ready",
        "ImagePullBackOff: no such image",
        "what the process said last",
    ):
        assert said in done.stderr


def test_fails_first_deployment_without_rollback(cluster):
    cluster.never_ready = {"event-service:"}
    done = cluster.deploy("2.0.0")
    assert done.returncode == 1 and "is new" in done.stderr
    assert cluster.runs() == {"event-service": "2.0.0-dev"}
    assert not [call for call in cluster.calls if call.startswith("rollout undo")]


def test_names_deployment_that_stays_new(running):
    running.never_ready = {"notification-service:2.1.0"}
    running.cannot_undo = {"dev-event-service"}
    done = running.deploy("2.1.0")
    assert done.returncode == 1 and "did not succeed for dev-event-service" in done.stderr
    assert running.runs()["notification-service"] == "2.0.0-dev", (
        "the others are tried all the same"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda secrets: secrets.pop("dev-fcm-secrets"), "Secret dev-fcm-secrets"),
        (
            lambda secrets: secrets["dev-device-db-secrets"].remove("password"),
            "Secret dev-device-db-secrets, key password",
        ),
    ],
)
def test_names_missing_secret_before_deployment(cluster, change, said):
    change(cluster.secrets)
    done = cluster.deploy("2.1.0")
    assert done.returncode == 1 and said in done.stderr
    assert not [name for name in cluster.order if name.startswith(("Job/", "Deployment/"))]


def test_changes_nothing_when_manifest_is_refused(cluster):
    cluster.refused = {"Middleware"}
    done = cluster.deploy("2.1.0")
    assert done.returncode == 1 and "nothing was changed" in done.stderr
    assert set(cluster.order) == ADMINISTERED


def test_deploys_with_rights_on_namespace_only(running):
    running.administrator = False
    done = running.deploy("2.1.0")
    assert done.returncode == 0, done.stderr
    assert running.runs() == everywhere("2.1.0-dev")
    assert not [name for name in running.order if name.startswith(("Namespace/", "PriorityClass/"))]
    del running.objects["Namespace/development"]
    done = running.deploy("2.2.0")
    assert (
        done.returncode == 1
        and "An administrator deploys first" in done.stderr
        and running.order == []
    )


def test_deploys_one_colour_only(cluster, tmp_path):
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    overlay = tmp_path / "k8s/overlays/staging/kustomization.yaml"
    overlay.write_text(overlay.read_text().rstrip() + "\n  - colours\n")
    options = ("--manifests", str(tmp_path / "k8s"), "--dry-run")
    done = cluster.run("deploy.sh", "staging", "2.1.0", *options)
    assert done.returncode == 1 and "has colours" in done.stderr
    done = cluster.run("deploy.sh", "staging", "2.1.0", "--colour", "green", *options)
    assert re.findall(r"Deployment/stg-(\S+)", done.stdout) == [
        "event-service", "notification-service-green", "notification-scheduler", "reminder-service-green"]  # fmt: skip
    done = cluster.run("deploy.sh", "production", "2.1.0", "--colour", "green", "--dry-run")
    assert done.returncode == 1 and "has no colours" in done.stderr


def test_migrates_only_when_version_is_unchanged(cluster):
    for _ in range(2):
        assert cluster.deploy("2.0.0").returncode == 0
    assert any(call.startswith("delete job ") for call in cluster.calls)
    assert all(
        len(item["revisions"]) == 1
        for name, item in cluster.objects.items()
        if name.startswith("Deployment/")
    )


def test_calls_no_cluster_in_dry_run(environment, tmp_path):
    cluster = Cluster(tmp_path, environment)
    done = cluster.deploy("2.1.0", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert cluster.calls == []
    prefix = ENVIRONMENTS[environment]
    said = [done.stdout.index(f"Deployment/{prefix}-{service}\n") for service in ORDER]
    assert said == sorted(said) and done.stdout.count("Deployment/") == len(SERVICES)
    for secret in secrets_read(environment):
        assert secret in done.stdout


def test_sets_version_in_images_and_labels(environment, tmp_path):
    done = Cluster(tmp_path, environment).deploy("2.1.0-gabcdef012345", "--render")
    assert done.returncode == 0, done.stderr
    seen = set()
    for item in documents(done.stdout):
        labelled = [item["metadata"]]
        if item["kind"] in ("Deployment", "Job"):
            labelled.append(item["spec"]["template"]["metadata"])
            for container in item["spec"]["template"]["spec"]["containers"]:
                seen.add(container["image"])
                assert container["image"].endswith(
                    f":2.1.0-gabcdef012345-{ENVIRONMENTS[environment]}"
                )
        for metadata in labelled:
            assert (
                metadata["labels"].get("app.kubernetes.io/version") == "2.1.0-gabcdef012345"
            ) == (item["kind"] in ("Deployment", "Job"))
    assert {image.split("/")[-1].split(":")[0] for image in seen} == set(SERVICES)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere", "2.0.0"),
        ("development", "latest"),
        ("development",),
        ("development", "2.0.0", "--force"),
    ],
)
def test_refuses_wrong_arguments(cluster, arguments):
    done = cluster.run("deploy.sh", *arguments)
    assert done.returncode != 0 and done.stderr
    assert cluster.calls == []
