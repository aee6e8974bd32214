"""checkov's rules for Kubernetes hold, except those that are excluded here with a reason."""

import json
import subprocess

from conftest import tool
from kubernetes_rendered import text

# Staging renders to the same shape, development to a part of it (test_kubernetes_pods.py).
LOOKED_AT = ["production", "production/migrate", "production+keda", "local"]
SET_ASIDE = {
    "CKV_K8S_11": "no limits of CPU: a throttled process sends late, and requests already divide a busy node fairly",
    "CKV_K8S_15": "tags are never moved, so an image that is there is the right one, whether or not the registry answers",
    "CKV_K8S_43": "tags are never moved, and are what a version is known by: promotion compares digests (scripts/promote.sh)",
    "CKV_K8S_35": "passwords and keys are mounted; what comes by variable are names and addresses",
    "CKV_K8S_40": "PostgreSQL's image has a user of its own (local only)",
}


def test_checkov_reports_excluded_findings_only(tmp_path):
    for variant in LOOKED_AT:
        (tmp_path / f"{variant.replace('/', '-')}.yaml").write_text(text(variant))
    command = [
        tool("checkov"),
        "--directory",
        tmp_path,
        "--framework",
        "kubernetes",
        "--output",
        "json",
        "--quiet",
        "--compact",
        "--skip-download",
    ]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0 and report["summary"]["passed"] > 1000
    findings = {
        (one["check_id"], one["check_name"], one["resource"])
        for one in report["results"]["failed_checks"]
    }
    assert not {finding for finding in findings if finding[0] not in SET_ASIDE}
    # What is set aside for nothing is taken off the list.
    assert {check for check, _, _ in findings} == set(SET_ASIDE)
    assert {resource for check, _, resource in findings if check == "CKV_K8S_40"} == {
        "StatefulSet.local.local-postgres"
    }
