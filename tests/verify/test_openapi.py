"""The OpenAPI descriptions are valid, and generated clients of them compile."""

import json
import os

import pytest

from conftest import ROOT, SERVICES, run, tool

DESCRIPTIONS = {name: ROOT / name / "openapi.json" for name in SERVICES if (ROOT / name / "openapi.json").exists()}
OFFLINE = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def described(path):
    return json.loads(path.read_text())


def test_every_service_with_a_rest_api_is_described():
    assert sorted(DESCRIPTIONS) == ["event-service", "notification-service", "reminder-service"]


@pytest.mark.parametrize("service", sorted(DESCRIPTIONS))
def test_description_passes_recommended_rules(service):
    config = ROOT / "tests" / "verify" / "redocly.yaml"
    run(tool("redocly"), "lint", "--config", config, DESCRIPTIONS[service], env=OFFLINE)


@pytest.mark.parametrize("service", sorted(DESCRIPTIONS))
def test_every_operation_has_its_own_id_and_needs_authentication(service):
    description = described(DESCRIPTIONS[service])
    operations = [call for item in description["paths"].values() for call in item.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids), sorted(ids)
    assert description["servers"] and description["security"]
    schemes = description["components"]["securitySchemes"]
    assert all(name in schemes for requirement in description["security"] for name in requirement)


@pytest.mark.parametrize("service", sorted(DESCRIPTIONS))
def test_no_required_property_has_a_default(service):
    found = []

    def look(value, path):
        if isinstance(value, dict):
            required = value.get("required")
            for name in required if isinstance(required, list) else []:
                if "default" in value.get("properties", {}).get(name, {}):
                    found.append(f"{path}: {name}")
            for name, inner in value.items():
                look(inner, f"{path}/{name}")
        elif isinstance(value, list):
            for position, inner in enumerate(value):
                look(inner, f"{path}/{position}")

    look(described(DESCRIPTIONS[service]), "")
    assert not found, "\n".join(found)


def test_typescript_types_of_every_description_compile(tmp_path):
    types = []
    for service, path in sorted(DESCRIPTIONS.items()):
        types.append(tmp_path / f"{service}.ts")
        run(tool("openapi-typescript"), path, "--output", types[-1])
    run(tool("tsc"), "--strict", "--noEmit", "--skipLibCheck", "false", *types)
