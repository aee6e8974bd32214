"""Test of scripts/promote.sh, publish.sh and sbom.sh: the image of one environment gets the tag of
the next one, and is the one that was signed.

skopeo copies between tags of a real registry protocol (pipeline_registry.py). docker and cosign are
simulated, since there is neither a daemon nor an identity here: the tests check their calls.
"""

import json
import os
import shutil
import subprocess

import pytest

from conftest import ROOT, SERVICES, run, tool
from pipeline_registry import Registry


@pytest.fixture
def registry():
    registry = Registry()
    yield registry
    registry.close()


@pytest.fixture
def machine(tmp_path, registry):
    """A machine for the scripts: its home has the registry's credentials, and the simulated
    programs come first in PATH.
    """
    home, bin = tmp_path / "home", tmp_path / "bin"
    (home / ".config/containers").mkdir(parents=True)
    (home / ".config/containers/registries.conf").write_text(
        f'[[registry]]\nlocation = "{registry.address}"\ninsecure = true\n'
    )
    bin.mkdir()
    os.symlink(tool("kubectl"), bin / "kubectl")

    class Machine:
        said = tmp_path / "said"

        def stand_in(self, name, script):
            (bin / name).write_text(
                f'#!/bin/bash\nprintf "%s %s\\n" {name} "$*" >> {self.said}\n{script}\n'
            )
            (bin / name).chmod(0o755)

        def run(self, script, *arguments, root=ROOT, **variables):
            return subprocess.run(
                [root / "scripts" / script, *arguments], cwd=root, text=True, capture_output=True,
                env={**os.environ, "HOME": str(home), "PATH": f"{bin}:{os.environ['PATH']}", "REGISTRY": f"{registry.address}/reminders", **variables},
            )  # fmt: skip

        def asked(self, name):
            lines = self.said.read_text().splitlines() if self.said.exists() else []
            return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]

    return Machine()


@pytest.fixture
def staged(registry):
    """Images 2.0.0 of all services in staging."""
    return {
        service: registry.image(f"reminders/{service}", "2.0.0-stg", service)
        for service in SERVICES
    }


def in_production(registry, version="2.0.0"):
    return {
        service: digest
        for service in SERVICES
        if (digest := registry.digest(f"reminders/{service}", f"{version}-prod"))
    }


def test_promotes_same_digest_under_new_tag(machine, registry, staged):
    done = machine.run("promote.sh", "2.0.0", "staging", "production")
    assert done.returncode == 0, done.stderr
    assert in_production(registry) == staged
    pushed = len(registry.pushed)
    again = machine.run("promote.sh", "2.0.0", "staging", "production")
    assert again.returncode == 0 and again.stdout.count("already") == len(SERVICES)
    assert len(registry.pushed) == pushed, "nothing is copied twice"


def test_copies_nothing_in_dry_run(machine, registry, staged):
    done = machine.run("promote.sh", "2.0.0", "staging", "production", "--dry-run")
    assert done.returncode == 0 and done.stdout.count("would tag") == len(SERVICES)
    assert registry.pushed == []


def test_refuses_to_promote_missing_image(machine, registry, staged):
    del registry.tags["reminders/reminder-service", "2.0.0-stg"]
    done = machine.run("promote.sh", "2.0.0", "staging", "production")
    assert (
        done.returncode == 3
        and "There is no" in done.stderr
        and "did staging ever run it" in done.stderr
    )
    assert in_production(registry) == {}, "a version arrives whole or not at all"


def test_never_moves_a_tag(machine, registry, staged):
    other = registry.image("reminders/event-service", "2.0.0-prod", "something else")
    done = machine.run("promote.sh", "2.0.0", "staging", "production")
    assert done.returncode == 1 and "never moved" in done.stderr
    assert in_production(registry) == {"event-service": other}


def test_fails_when_registry_is_unreachable(machine, registry, staged):
    registry.broken = True
    done = machine.run("promote.sh", "2.0.0", "staging", "production")
    assert done.returncode == 1 and "Cannot look up" in done.stderr


def test_promotes_signed_images_only(machine, registry, staged):
    machine.stand_in(
        "cosign", '[[ "$*" != *reminder-service* ]] || { echo "no signatures found" >&2; exit 1; }'
    )
    done = machine.run(
        "promote.sh",
        "2.0.0",
        "staging",
        "production",
        SIGNED_BY="^https://github.com/example/reminders/",
    )
    assert done.returncode == 1 and "reminder-service:2.0.0-stg is not signed" in done.stderr
    assert in_production(registry) == {}
    assert all(
        "--certificate-identity-regexp ^https://github.com/example/reminders/" in call
        for call in machine.asked("cosign")
    )
    assert (
        f"{registry.address}/reminders/event-service@{staged['event-service']}"
        in machine.asked("cosign")[0]
    )


@pytest.fixture
def project(tmp_path):
    """The scripts, without the one for bills of materials, which is tested below."""
    for part in ("scripts", "k8s"):
        shutil.copytree(ROOT / part, tmp_path / "project" / part)
    sbom = tmp_path / "project/scripts/sbom.sh"
    sbom.write_text(
        '#!/bin/bash\nprintf \'{"spdxVersion":"SPDX-2.3","name":"%s","version":"%s"}\' "$1" "$2" > "$4"\n'
    )
    subprocess.run("git init -q && git -c user.name=tests -c user.email=tests@example.com commit -q --allow-empty -m first", shell=True, check=True,
                   cwd=tmp_path / "project")  # fmt: skip
    return tmp_path / "project"


def publish(machine, registry, project, cosign="", *options, **variables):
    """Simulates `docker push` of an image that `make images` built: the registry has it afterwards."""
    machine.stand_in(
        "docker", f'curl --silent --fail "http://{registry.address}/daemon/${{@: -1}}"'
    )
    machine.stand_in("cosign", cosign or "true")
    return machine.run(
        "publish.sh",
        "2.0.0",
        "development",
        *options,
        root=project,
        SIGNED_BY="^https://ci",
        **variables,
    )


def test_publishes_with_sbom_and_signature(machine, registry, project):
    done = publish(
        machine,
        registry,
        project,
        GITHUB_REPOSITORY="example/reminders",
        GITHUB_SERVER_URL="https://github.com",
    )
    assert done.returncode == 0, done.stderr
    digests = {
        service: registry.digest(f"reminders/{service}", "2.0.0-dev") for service in SERVICES
    }
    listed = dict(
        line.split() for line in (project / "target/publish/images.txt").read_text().splitlines()
    )
    assert listed == digests
    for service in SERVICES:
        image = f"{registry.address}/reminders/{service}@{digests[service]}"
        calls = [call for call in machine.asked("cosign") if call.endswith(image)]
        assert [call.split()[0] for call in calls] == ["attest", "attest", "sign"], (
            "the signature comes last: what has it has all"
        )
        assert "--type spdxjson" in calls[0] and "--type slsaprovenance1" in calls[1]
        provenance = json.loads((project / f"target/publish/{service}.provenance.json").read_text())
        assert provenance["buildDefinition"]["externalParameters"]["buildArgs"] == {
            "SERVICE": service,
            "VERSION": "2.0.0",
        }
        source = provenance["buildDefinition"]["resolvedDependencies"][0]
        assert source["uri"] == "git+https://github.com/example/reminders"
        assert source["digest"]["gitCommit"] == run("git", "rev-parse", "HEAD", cwd=project).strip()


def test_keeps_published_signed_image(machine, registry, project):
    assert publish(machine, registry, project).returncode == 0
    machine.said.unlink()
    done = publish(machine, registry, project)
    assert done.returncode == 0 and done.stdout.count("published already") == len(SERVICES)
    assert machine.asked("docker") == [] and {
        call.split()[0] for call in machine.asked("cosign")
    } == {"verify"}


def test_stops_at_unsigned_published_image(machine, registry, project):
    registry.image("reminders/event-service", "2.0.0-dev", "who knows")
    done = publish(machine, registry, project, '[ "$1" != verify ]')
    assert done.returncode == 1 and "not signed" in done.stderr
    assert machine.asked("docker") == []


def test_publishes_unsigned_without_identity(machine, registry, project):
    done = publish(machine, registry, project, "exit 1", "--no-sign")
    assert done.returncode == 0 and machine.asked("cosign") == []


def test_lists_dependencies_in_bill_of_materials(tmp_path):
    file = tmp_path / "sbom.json"
    run(ROOT / "scripts/sbom.sh", "notification-scheduler", "2.0.0", "--output", file)
    bill = json.loads(file.read_text())
    assert (bill["name"], bill["spdxVersion"]) == ("notification-scheduler", "SPDX-2.3")
    crates = {package["name"]: package for package in bill["packages"]}
    assert {"notification-scheduler", "service", "tokio", "sqlx", "rustls"} <= crates.keys()
    assert not {"proptest", "lettre", "reminder-service", "windows-sys"} & crates.keys(), (
        "no tests, no other service, no other system"
    )
    assert crates["tokio"]["licenseDeclared"] == "MIT"
    assert crates["tokio"]["externalRefs"][-1]["referenceLocator"].startswith("pkg:cargo/tokio@")
