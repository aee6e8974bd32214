"""Test of scripts/rollback.sh and scripts/version.sh: the earlier version of an environment is
found, and deployed with its manifests.
"""

import shutil
import subprocess

import pytest

from conftest import ROOT, SERVICES
from pipeline_cluster import Cluster


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def git(folder, *arguments):
    identity = [
        "-c",
        "user.name=tests",
        "-c",
        "user.email=tests@example.com",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    ]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, text=True, capture_output=True
    ).stdout.strip()


def write_version(project, version):
    (project / "Cargo.toml").write_text(f'[workspace.package]\nversion = "{version}"\n')


def log_level(project, level):
    file = project / "k8s/base/foundation/process.env"
    file.write_text(
        "\n".join(
            f"RUST_LOG={level}" if line.startswith("RUST_LOG=") else line
            for line in file.read_text().splitlines()
        )
        + "\n"
    )


@pytest.fixture
def project(tmp_path):
    """A repository with a tag 2.0.0, which logs at info, and a later commit, which logs at debug."""
    folder = tmp_path / "project"
    folder.mkdir()
    for part in ("scripts", "k8s"):
        shutil.copytree(ROOT / part, folder / part)
    git(folder, "init", "--quiet", "--initial-branch=main")
    write_version(folder, "2.0.0")
    log_level(folder, "info")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "2.0.0")
    git(folder, "tag", "--annotate", "v2.0.0", "--message", "2.0.0")
    log_level(folder, "debug")
    git(folder, "commit", "--quiet", "--all", "--message", "Says more")
    return folder


def version(project, *arguments):
    return subprocess.run(
        [project / "scripts/version.sh", *arguments], cwd=project, text=True, capture_output=True
    )


def variables(cluster):
    """Returns the variables of the newest Deployment of event-service."""
    pod = cluster.objects["Deployment/dev-event-service"]["spec"]["template"]["spec"]
    return cluster.objects[
        f"ConfigMap/{pod['containers'][0]['envFrom'][0]['configMapRef']['name']}"
    ]["data"]


def test_maps_commits_and_versions_one_to_one(project):
    commit = git(project, "rev-parse", "HEAD")
    after = version(project).stdout.strip()
    assert after == f"2.0.0-g{commit[:12]}"
    assert version(project, "HEAD~").stdout.strip() == "2.0.0"
    assert version(project, "--commit", after).stdout.strip() == commit
    assert version(project, "--commit", "2.0.0").stdout.strip() == git(
        project, "rev-parse", "HEAD~"
    )


def test_reports_unknown_version(project):
    done = version(project, "--commit", "3.0.0")
    assert done.returncode == 1 and "has no v3.0.0" in done.stderr


def test_ignores_tag_of_other_version(project):
    git(project, "tag", "v9.9.9")
    assert version(project).stdout.startswith("2.0.0-g")


def test_rolls_back_with_earlier_manifests(project, cluster):
    new = version(project).stdout.strip()
    assert (
        cluster.run(
            "deploy.sh", "development", "2.0.0", "--manifests", str(project / "k8s"), root=project
        ).returncode
        == 0
    )
    assert cluster.run("deploy.sh", "development", new, root=project).returncode == 0
    assert variables(cluster)["RUST_LOG"] == "debug"

    done = cluster.run("rollback.sh", "development", root=project)
    assert done.returncode == 0, done.stderr
    assert cluster.runs() == {service: "2.0.0-dev" for service in SERVICES}
    assert variables(cluster)["RUST_LOG"] == "info"
    assert not any(name.startswith("Job/") for name in cluster.order), "databases stay as they are"
    assert git(project, "worktree", "list").count("\n") == 0, "nothing is left behind"

    listed = cluster.run("rollback.sh", "development", "--list", root=project).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["2.0.0", new, "2.0.0"]


def remember(cluster, *versions):
    """Records deployments, newest first, as scripts/deploy.sh does."""
    history = "\n".join(f"{version} 2026-01-01T00:00:00Z" for version in versions)
    cluster.objects["ConfigMap/dev-releases"] = {
        "kind": "ConfigMap",
        "metadata": {"name": "dev-releases"},
        "data": {"history": history},
    }


@pytest.mark.parametrize(
    ("arguments", "history", "said"),
    [
        ([], ["2.1.0", "2.1.0", "2.0.0"], "rolling back to 2.0.0"),
        ([], ["2.0.0", "2.1.0", "2.0.0"], "rolling back to 2.1.0"),
        (["2.0.0"], ["2.2.0", "2.1.0", "2.0.0"], "rolling back to 2.0.0"),
        (["1.9.0"], ["2.1.0", "2.0.0"], "1.9.0 is not among the last twenty"),
        ([], ["2.0.0"], "there is none to roll back to"),
        ([], [], "has not deployed anything"),
    ],
)
def test_reports_target_of_rollback(arguments, history, said, cluster):
    if history:
        remember(cluster, *history)
    done = cluster.run("rollback.sh", "development", *arguments, "--here", "--dry-run")
    assert said in done.stdout + done.stderr
    assert (done.returncode == 0) == ("rolling back to" in done.stdout)
