"""Linters of the Dockerfiles and compose.yaml, and comparison of their variables with those of the
binaries.
"""

import json
import re
import tomllib

import pytest
import yaml

from conftest import ROOT, SERVICES, run, tool

COMPOSE = ROOT / "compose.yaml"


def workspace():
    """Returns the workspace table of Cargo.toml."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]


def services():
    """Returns the services of compose.yaml with anchors and merges resolved."""
    return yaml.safe_load(COMPOSE.read_text())["services"]


def variables(service):
    """Returns the variables of a binary: name -> row."""
    return {row["name"]: row for row in json.loads((ROOT / service / "config.json").read_text())}


@pytest.mark.parametrize("dockerfile", sorted(run("git", "ls-files", "*Dockerfile").split()))
def test_linter_reports_no_findings_in_dockerfiles(dockerfile):
    run(tool("hadolint"), dockerfile)


def test_builds_image_with_project_toolchain():
    built_by = re.search(
        r"^FROM docker\.io/library/rust:([\d.]+)-", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )[1]
    at_least = workspace()["package"]["rust-version"]
    assert tuple(map(int, built_by.split("."))) >= tuple(map(int, at_least.split(".")))


def test_compose_file_matches_specification():
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_compose_builds_this_version():
    version = workspace()["package"]["version"]
    assert set(re.findall(r"\$\{VERSION:-([^}]*)\}", COMPOSE.read_text())) == {version}


@pytest.mark.parametrize("service", SERVICES)
def test_compose_sets_known_variables_only(service):
    environment, known = services()[service]["environment"], variables(service)
    assert not set(environment) - set(known), "a variable no binary reads"
    required = {name for name, row in known.items() if row["required"]}
    assert not required - set(environment), "a required variable is not set"


@pytest.mark.parametrize("service", SERVICES)
def test_compose_drops_all_privileges(service):
    definition = services()[service]
    assert (
        definition["read_only"]
        and definition["cap_drop"] == ["ALL"]
        and definition["mem_limit"] == "64m"
    )
    assert "no-new-privileges:true" in definition["security_opt"]


def test_compose_listens_on_loopback_only():
    for name, definition in services().items():
        for port in definition.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"


def test_compose_waits_for_health_only():
    names = services()
    for name, definition in names.items():
        needs = definition.get("depends_on", {})
        if "monitoring" in definition.get("profiles", []):
            continue
        for needed, how in needs.items():
            assert needed in names
            assert how["condition"] in ("service_healthy", "service_completed_successfully"), (
                f"{name} on {needed}"
            )
