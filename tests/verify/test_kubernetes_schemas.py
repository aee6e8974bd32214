"""Kubernetes, and the operators whose kinds are used, accept every object."""

import functools
import json

import kubernetes_validate
import pytest

from conftest import ROOT, TOOLS, run
from kubernetes_rendered import VARIANTS, identity, objects

# The oldest Kubernetes that has all that is used, and the newest whose schemas there are.
VERSIONS = ["1.31", "1.37"]
OF_KUBERNETES = (
    "apps/",
    "autoscaling/",
    "batch/",
    "networking.k8s.io/",
    "policy/",
    "rbac.authorization.k8s.io/",
    "scheduling.k8s.io/",
    "v1",
)

# It would read all of Kubernetes' definitions again for each object.
kubernetes_validate.utils.schema_contents = functools.cache(
    kubernetes_validate.utils.schema_contents
)


@functools.cache
def problem_of(document, version):
    """Returns the problem of one object, if any. Most objects are the same in many variants."""
    try:
        kubernetes_validate.validate(json.loads(document), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(str(part) for part in error.path)}: {error.message}"
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_matches_schemas_of_kubernetes(version):
    found = []
    for variant in VARIANTS:
        for item in objects(variant):
            if item["apiVersion"].startswith(OF_KUBERNETES):
                problem = problem_of(json.dumps(item, sort_keys=True), version)
                found += [f"{variant}: {identity(item)}: {problem}"] if problem else []
    assert not found, "\n".join(found)


def test_matches_schemas_of_custom_objects():
    custom = {
        json.dumps(item, sort_keys=True)
        for variant in VARIANTS
        for item in objects(variant)
        if not item["apiVersion"].startswith(OF_KUBERNETES)
    }
    checked = run(
        "node",
        ROOT / "tests/verify/kubernetes_crds.mjs",
        TOOLS / "node_modules",
        input=f"[{','.join(sorted(custom))}]",
    )
    assert json.loads(checked) == {"problems": [], "unknown": []}
