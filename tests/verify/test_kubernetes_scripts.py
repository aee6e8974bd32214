"""Scripts that change manifests or the cluster: set-version.sh, and blue-green.sh with the real
kubectl.
"""

import os
import shutil
import subprocess

import pytest
import yaml

from conftest import ROOT, run, tool
from kubernetes_api import Api
from kubernetes_rendered import PREFIXES, objects, pod_of


@pytest.fixture
def manifests(tmp_path):
    """Creates a copy of the manifests."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    return tmp_path / "k8s"


def rendered(folder):
    """Returns the objects that a folder renders to."""
    return [
        item
        for item in yaml.load_all(
            run(tool("kubectl"), "kustomize", folder), Loader=yaml.CSafeLoader
        )
        if item
    ]


def images(folder):
    """Returns the images without registry and digest."""
    pods = [pod_of(item) for item in rendered(folder) if pod_of(item)]
    return {
        container["image"].rpartition("/")[2].partition("@")[0]
        for pod in pods
        for container in pod["spec"]["containers"]
    }


def test_writes_version_to_every_environment(manifests):
    run(manifests / "set-version.sh", "12.3.4-rc.1")
    for environment, prefix in PREFIXES.items():
        file = "kustomization.yaml" if environment == "local" else "environment/kustomization.yaml"
        tag = f"newTag: 12.3.4-rc.1-{'dev' if environment == 'local' else prefix}\n"
        assert (manifests / "overlays" / environment / file).read_text().count(tag) >= 4
    services = (
        "reminder-service",
        "event-service",
        "notification-scheduler",
        "notification-service",
    )
    assert images(manifests / "overlays/staging") == {
        f"{service}:12.3.4-rc.1-stg" for service in services
    }
    jobs = [
        item["metadata"]["name"]
        for item in rendered(manifests / "overlays/production/migrate")
        if item["kind"] == "Job"
    ]
    assert "prod-event-service-migrate-12-3-4-rc-1" in jobs
    assert {"ministack:local", "postgres:15-bookworm", "suite:12.3.4-rc.1-dev"} <= images(
        manifests / "overlays/local"
    )


def test_writes_version_to_named_target_only(manifests):
    run(manifests / "set-version.sh", "3.0.0", "staging")
    run(manifests / "set-version.sh", "4.0.0", "production", "--colour", "green")
    files = [path for path in manifests.rglob("*") if path.is_file()]
    changed = [
        path
        for path in files
        if path.read_bytes() != (ROOT / "k8s" / path.relative_to(manifests)).read_bytes()
    ]
    assert {str(path.relative_to(manifests / "overlays")) for path in changed} == {
        "staging/environment/kustomization.yaml",
        "staging/environment/version.yaml",
        "production/colours/kustomization.yaml",
    }
    colours = yaml.safe_load(
        (manifests / "overlays/production/colours/kustomization.yaml").read_text()
    )["images"]
    assert {image["name"] for image in colours if image["newTag"] == "4.0.0-prod"} == {
        "reminder-service-green",
        "notification-service-green",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["1"],
        ["2.0.0", "nowhere"],
        ["2.0.0", "development", "--colour", "green"],
        ["2.0.0", "--other"],
    ],
)
def test_refuses_invalid_version_or_environment(manifests, arguments):
    done = subprocess.run(
        [manifests / "set-version.sh", *arguments], text=True, capture_output=True
    )
    assert done.returncode != 0 and done.stderr
    assert subprocess.run(["diff", "-r", ROOT / "k8s", manifests]).returncode == 0


@pytest.fixture
def cluster():
    """Simulates production with colours: every Deployment has three ready pods."""
    with Api(
        [
            with_pods(item, 3)
            for item in objects(
                "production+colours", "Service", "Deployment", "HorizontalPodAutoscaler"
            )
        ]
    ) as api:
        yield api


def with_pods(item, count):
    """Returns a Deployment with so many ready pods; other objects are unchanged. Kubernetes omits
    zero.
    """
    if item["kind"] == "Deployment":
        item["spec"]["replicas"] = count
        item["status"] = dict.fromkeys(
            ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] if count else [],
            count,
        )
    return item


def blue_green(cluster, *arguments):
    """Runs the script with kubectl against the cluster."""
    home = ROOT / ".verify/home"
    home.mkdir(exist_ok=True)
    config = home / f"{cluster.server_port}.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": {"server": cluster.url}}],
                "users": [{"name": "test", "user": {}}],
            }
        )
    )
    path = f"{os.path.dirname(tool('kubectl'))}:{os.environ['PATH']}"
    environment = {
        "PATH": path,
        "HOME": str(home),
        "KUBECONFIG": str(config),
        "POLL_SECONDS": "0.1",
    }
    try:
        return subprocess.run(
            [ROOT / "scripts/blue-green.sh", *arguments],
            env=environment,
            text=True,
            capture_output=True,
            timeout=60,
        )
    finally:
        config.unlink()


def colours(cluster):
    """Returns the colours of the two Services."""
    services = ("prod-reminder-service", "prod-notification-service")
    return [
        cluster.item("Service", name)["spec"]["selector"].get("reminders/colour")
        for name in services
    ]


def test_leaves_switch_to_script():
    for service in objects("production+colours", "Service"):
        assert ("reminders/colour" in service["spec"]["selector"]) == service["metadata"][
            "name"
        ].endswith(("-blue", "-green"))


def test_switches_to_other_colour_and_back(cluster):
    assert blue_green(cluster, "status", "production").returncode == 1
    assert blue_green(cluster, "switch", "production").returncode == 1
    assert blue_green(cluster, "idle", "production").returncode == 1
    assert blue_green(cluster, "switch", "production", "--to", "blue").returncode == 0
    assert blue_green(cluster, "back", "production").returncode == 1
    assert blue_green(cluster, "idle", "production").stdout == "green\n"

    assert blue_green(cluster, "switch", "production").stdout.endswith(
        "production: clients reach green; before, they reached blue\n"
    )
    assert colours(cluster) == ["green", "green"]
    selector = cluster.item("Service", "prod-reminder-service")["spec"]["selector"]
    assert selector["app.kubernetes.io/name"] == "reminder-service", (
        "the rest of the selector stays"
    )
    status = blue_green(cluster, "status", "production")
    assert (
        status.returncode == 0 and "clients reach green; before, they reached blue" in status.stdout
    )
    assert (
        "prod-reminder-service-blue         3 of 3 ready  registry.example.com/reminders/reminder-service:"
        in status.stdout
    )

    assert blue_green(cluster, "back", "production").returncode == 0
    assert colours(cluster) == ["blue", "blue"]
    # Only the switch was touched, and by a manager of its own.
    assert {(kind, manager[0]) for kind, _, _, manager in cluster.patches} == {
        ("Service", "blue-green")
    }


def test_scales_other_colour_before_switch(cluster):
    blue_green(cluster, "switch", "production", "--to", "blue")
    cluster.put(with_pods(cluster.item("Deployment", "prod-reminder-service-blue"), 9))
    seen = []

    def scale(api, key, patch):
        if key[0] == "HorizontalPodAutoscaler":
            seen.append((key[2], patch["spec"]["minReplicas"], colours(api)))
            api.put(with_pods(api.item("Deployment", key[2]), patch["spec"]["minReplicas"]))

    cluster.before_patch = scale
    assert blue_green(cluster, "switch", "production").returncode == 0
    assert seen == [("prod-reminder-service-green", 9, ["blue", "blue"])]
    assert colours(cluster) == ["green", "green"]


def test_keeps_colour_until_other_is_ready(cluster):
    blue_green(cluster, "switch", "production", "--to", "blue")
    cluster.put(with_pods(cluster.item("Deployment", "prod-reminder-service-blue"), 9))
    done = blue_green(cluster, "switch", "production", "--timeout", "1s")
    assert done.returncode == 1 and "needs 9. Not switched: clients reach blue as before" in done.stderr
    assert colours(cluster) == ["blue", "blue"]


def test_switches_both_services_or_neither(cluster):
    blue_green(cluster, "switch", "production", "--to", "blue")
    refused = []

    def refuse_one(api, key, patch):
        if (
            key[2] == "prod-reminder-service"
            and patch["spec"]["selector"]["reminders/colour"] == "green"
        ):
            refused.append(colours(api))
            return "not today"
        return None

    cluster.before_patch = refuse_one
    done = blue_green(cluster, "switch", "production")
    assert done.returncode == 1 and "Not switched" in done.stderr
    assert refused == [["blue", "green"]], "the other one had been switched"
    assert colours(cluster) == ["blue", "blue"]


def test_refuses_switch_to_colour_without_pods(cluster):
    blue_green(cluster, "switch", "production", "--to", "blue")
    blue_green(cluster, "switch", "production")
    cluster.put(with_pods(cluster.item("Deployment", "prod-notification-service-blue"), 0))
    done = blue_green(cluster, "back", "production")
    assert done.returncode == 1 and "prod-notification-service-blue has no ready pod" in done.stderr
    assert colours(cluster) == ["green", "green"]


def test_explains_how_to_add_colours():
    with Api(objects("production", "Service", "Deployment")) as api:
        done = blue_green(api, "status", "production")
    assert done.returncode == 1 and "has no colours. Add them to its overlay" in done.stderr
