"""Test of scripts/clone-environment.sh: a clone renders to the same objects as its source, under
other names, and does not refer to its source.
"""

import functools
import json
import re
import shutil

import pytest
import yaml

from conftest import ENVIRONMENTS, ROOT, run, tool
from pipeline_cluster import Cluster, documents, secrets_read


@pytest.fixture
def manifests(tmp_path):
    """Creates a copy of the manifests, for clones."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    return tmp_path / "k8s"


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def render(manifests, environment):
    """Renders services and migrations as text."""
    overlay = manifests / "overlays" / environment
    return "---\n".join(
        run(tool("kubectl"), "kustomize", folder) for folder in (overlay, overlay / "migrate")
    )


@functools.cache
def source_rendering(environment):
    return render(ROOT / "k8s", environment)


def objects(text):
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in documents(text)}


def without_digests(text):
    """Removes the digests from names of ConfigMaps: the content of a clone has other names."""
    for name in set(re.findall(r"name: ([a-z0-9-]+-[a-z0-9]{10})$", text, re.MULTILINE)):
        if re.search(
            rf"^kind: ConfigMap\nmetadata:\n(  .*\n)*?  name: {name}$", text, re.MULTILINE
        ):
            text = text.replace(name, name[:-11])
    return text


@pytest.mark.parametrize("source", sorted(ENVIRONMENTS))
def test_renders_clone_like_its_source(source, manifests, cluster):
    done = cluster.run(
        "clone-environment.sh",
        source,
        "login",
        "--prefix",
        "lg",
        "--host",
        "login.example.com",
        MANIFESTS=str(manifests),
    )
    assert done.returncode == 0, done.stderr
    assert cluster.calls == [], "nobody is asked, nothing is applied"
    clone = render(manifests, "login")
    assert not re.search(rf"(?<![a-zA-Z0-9]){ENVIRONMENTS[source]}-", clone)
    host = next(
        item["spec"]["rules"][0]["host"]
        for item in objects(source_rendering(source)).values()
        if item["kind"] == "Ingress"
    )

    renamed = without_digests(source_rendering(source))
    shared = re.findall(r"^  (?:APP_ENV|JWT_\w+|CORS_ALLOWED_ORIGINS): .*$", renamed, re.MULTILINE)
    assert all(line in clone for line in shared)
    for old, new in [
        (rf"{source}-{ENVIRONMENTS[source]}-", "login-lg-"),
        (rf"(?<![a-zA-Z0-9-]){ENVIRONMENTS[source]}-", "lg-"),
        (rf"-{ENVIRONMENTS[source]}$", "-lg"),
        (re.escape(host), "login.example.com"),
        (rf"(namespace|name|replacement): {source}$", r"\1: login"),
        (rf"regex: {source}-", "regex: login-"),
        (rf'(namespace=\\?"){source}(\\?")', r"\1login\2"),
    ]:
        renamed = re.sub(old, new, renamed, flags=re.MULTILINE)
    expected, found = objects(renamed), objects(without_digests(clone))
    assert found.keys() == expected.keys()
    for name, item in found.items():
        labels = item["metadata"]["labels"]
        assert (labels.pop("reminders/clone-of"), labels.pop("reminders/environment")) == (
            source,
            "login",
        )
        assert item == expected[name], name


def test_names_secrets_of_clone_without_values(manifests, cluster):
    assert (
        cluster.run("clone-environment.sh", "staging", "login", MANIFESTS=str(manifests)).returncode
        == 0
    )
    listed = [
        item
        for item in yaml.safe_load_all((manifests / "overlays/login/secrets.example").read_text())
        if item
    ]
    assert {item["metadata"]["name"]: sorted(item["stringData"]) for item in listed} == {
        name.replace("stg-", "login-"): keys for name, keys in secrets_read("staging").items()
    }
    assert {value for item in listed for value in item["stringData"].values()} == {""}
    assert {item["metadata"]["namespace"] for item in listed} == {"login"}
    assert not any(
        item["kind"] == "Secret" for item in objects(render(manifests, "login")).values()
    )


def test_clones_running_version_from_cluster(manifests, cluster):
    cluster.settle("2.3.0")
    process = next(name for name in cluster.objects if name.startswith("ConfigMap/dev-process-"))
    cluster.objects[process]["data"]["RUST_LOG"] = "debug"
    cluster.objects[process]["data"]["SOMEWHERE"] = "http://dev-event-service:3000"
    scheduler = cluster.objects["Deployment/dev-notification-scheduler"]["spec"]
    scheduler["replicas"] = 7
    scheduler["template"]["spec"]["containers"][0]["env"].append(
        {"name": "BUS_MAX_CONNECTIONS", "value": "3"}
    )

    done = cluster.run(
        "clone-environment.sh", "development", "login", "--from-cluster", MANIFESTS=str(manifests)
    )
    assert done.returncode == 0, done.stderr
    found = objects(render(manifests, "login"))
    clone = found["Deployment/login-notification-scheduler"]["spec"]
    container = clone["template"]["spec"]["containers"][0]
    assert clone["replicas"] == 7
    assert container["image"].endswith("/notification-scheduler:2.3.0-login")
    assert {"name": "BUS_MAX_CONNECTIONS", "value": "3"} in container["env"]
    assert {item["name"] for item in container["env"]} == {
        item["name"] for item in scheduler["template"]["spec"]["containers"][0]["env"]
    }
    data = next(
        item["data"] for name, item in found.items() if name.startswith("ConfigMap/login-process-")
    )
    assert (data["RUST_LOG"], data["SOMEWHERE"], data["APP_ENV"]) == (
        "debug",
        "http://login-event-service:3000",
        "development",
    )
    assert any(name.startswith("Job/login-event-service-migrate-2-3-0") for name in found)


def test_copies_autoscalers_from_cluster(tmp_path, manifests):
    cluster = Cluster(tmp_path, "production")
    cluster.settle("2.3.0")
    cluster.objects["HorizontalPodAutoscaler/prod-event-service"]["spec"]["maxReplicas"] = 20
    done = cluster.run(
        "clone-environment.sh", "production", "big", "--from-cluster", MANIFESTS=str(manifests)
    )
    cluster.close()
    assert done.returncode == 0, done.stderr
    found = objects(render(manifests, "big"))
    assert found["HorizontalPodAutoscaler/big-event-service"]["spec"]["maxReplicas"] == 20
    assert "replicas" not in found["Deployment/big-event-service"]["spec"], "its autoscaler decides"


def test_refuses_clone_during_deployment(manifests, cluster):
    cluster.settle("2.3.0")
    container = cluster.objects["Deployment/dev-event-service"]["spec"]["template"]["spec"][
        "containers"
    ][0]
    container["image"] = container["image"].replace("2.3.0", "2.4.0")
    done = cluster.run(
        "clone-environment.sh", "development", "login", "--from-cluster", MANIFESTS=str(manifests)
    )
    assert done.returncode == 1 and "2.3.0 2.4.0" in done.stderr
    assert not (manifests / "overlays/login").exists()


def test_clones_deploys_and_destroys_a_clone(manifests, cluster):
    variables = {"MANIFESTS": str(manifests)}
    assert cluster.run("clone-environment.sh", "development", "login", **variables).returncode == 0
    assert cluster.run("clone-environment.sh", "login", "again", **variables).returncode == 0
    labels = objects(render(manifests, "again"))["Namespace/again"]["metadata"]["labels"]
    assert (labels["reminders/clone-of"], labels["reminders/environment"]) == ("login", "again")

    assert cluster.run("deploy.sh", "login", "2.0.0", "--dry-run", **variables).returncode == 0
    cluster.objects["Namespace/login"] = objects(render(manifests, "login"))["Namespace/login"]
    done = cluster.run("clone-environment.sh", "--destroy", "login", **variables)
    assert done.returncode == 0, done.stderr
    assert "delete namespace login --wait=true" in cluster.calls
    assert (
        "delete priorityclass --selector reminders/environment=login --ignore-not-found"
        in cluster.calls
    )
    assert not (manifests / "overlays/login").exists() and (manifests / "overlays/again").exists()


@pytest.mark.parametrize("name", ["development", "production", "elsewhere"])
def test_destroys_clones_only(name, manifests, cluster):
    cluster.objects["Namespace/production"] = {
        "kind": "Namespace",
        "metadata": {"name": "production", "labels": {}},
    }
    done = cluster.run("clone-environment.sh", "--destroy", name, MANIFESTS=str(manifests))
    assert done.returncode == 1 and "is no clone" in done.stderr
    assert not any(call.startswith("delete") for call in cluster.calls)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["development", "staging"], "exists already"),
        (["development", "Login"], "Not a name"),
        (["development", "login", "--prefix", "prod"], "in use by production"),
        (["development", "login", "--prefix", "much-too-long"], "Not a prefix"),
        (["nowhere", "login"], "No environment nowhere"),
    ],
)
def test_reports_impossible_requests(arguments, said, manifests, cluster):
    before = sorted(path.name for path in (manifests / "overlays").iterdir())
    done = cluster.run("clone-environment.sh", *arguments, MANIFESTS=str(manifests))
    assert done.returncode == 1 and said in done.stderr
    assert sorted(path.name for path in (manifests / "overlays").iterdir()) == before


def test_refuses_clone_that_refers_to_source(manifests, cluster):
    """The source contains a name that the script does not rename."""
    with open(manifests / "overlays/development/environment/process.env", "a") as file:
        file.write("JWT_COLLECTOR=http://dev-event-service:4318\n")
    done = cluster.run("clone-environment.sh", "development", "login", MANIFESTS=str(manifests))
    assert done.returncode == 1 and "dev-event-service:4318" in done.stderr
    assert not (manifests / "overlays/login").exists()


def test_writes_tidy_yaml_for_clone(manifests, cluster):
    cluster.settle("2.3.0")
    assert (
        cluster.run(
            "clone-environment.sh",
            "development",
            "login",
            "--from-cluster",
            MANIFESTS=str(manifests),
        ).returncode
        == 0
    )
    rules = {**yaml.safe_load((ROOT / "tests/verify/yamllint.yaml").read_text())}
    rules["rules"]["line-length"] = (
        "disable"  # what is taken over from a cluster is a line for each Deployment
    )
    run(
        tool("yamllint"),
        "--strict",
        "--config-data",
        json.dumps(rules),
        manifests / "overlays/login",
    )
