"""The dashboards as they are committed."""

import functools
import json

from conftest import ROOT

FOLDER = ROOT / "k8s/components/monitoring/dashboards"


@functools.cache
def dashboards():
    """Each dashboard by the name of its file."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    assert found
    return found


def targets(content):
    """Each query of a dashboard with its panel."""
    return [(panel, target) for panel in content["panels"] for target in panel.get("targets", [])]
