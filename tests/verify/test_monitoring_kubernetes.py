"""Monitoring of an environment: rules with its namespace, dashboards, and the pods to scrape."""

import functools
import json
import pathlib
import re
import shutil
import tempfile

import pytest
import yaml

from conftest import ENVIRONMENTS, ROOT, SERVICES, TOOLS, run, tool
from monitoring.dashboards import dashboards
from monitoring.promql import RULES

MONITORING = "../../components/monitoring"
MODELS = TOOLS / "node_modules/@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
VALIDATE = """
import fs from "node:fs";
for (const object of JSON.parse(fs.readFileSync(0, "utf8"))) {
  const models = await import(`${process.argv[1]}/${object.kind}.js`);
  new models[object.kind](object).validate();
}
"""


def built(folder):
    """The objects that kustomize makes of a folder."""
    return list(yaml.load_all(run(tool("kubectl"), "kustomize", folder), Loader=yaml.CSafeLoader))


@functools.cache
def bare(name):
    """What the components make of an environment that has nothing but what they ask for."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copytree(ROOT / "k8s/components/monitoring", folder / "components/monitoring")
        overlay = folder / "overlays" / name
        (overlay / "base").mkdir(parents=True)
        # A fact is no object of the cluster.
        options = {"annotations": {"config.kubernetes.io/local-config": "true"}}
        facts = {"name": "facts", "literals": [f"NAMESPACE={name}"], "options": options}
        (overlay / "base/kustomization.yaml").write_text(
            yaml.safe_dump({"configMapGenerator": [facts]})
        )
        components = [MONITORING, f"{MONITORING}/dashboards"]
        prefix = f"{ENVIRONMENTS[name]}-"
        content = {
            "namespace": name,
            "namePrefix": prefix,
            "resources": ["base"],
            "components": components,
        }
        (overlay / "kustomization.yaml").write_text(yaml.safe_dump(content))
        return built(overlay)


@functools.cache
def whole(name):
    """An environment as it is committed; the rest of what it has is others' to test."""
    folder = ROOT / "k8s/overlays" / name
    return built(folder)


def rules(items):
    """Each PrometheusRule's groups by its name without the environment's prefix."""
    return {
        item["metadata"]["name"].split("-", 1)[1]: item["spec"]
        for item in items
        if item["kind"] == "PrometheusRule"
    }


def of_compose(spec, name):
    """Rules with compose's namespace for the environment's, which each expression names once."""
    for rule in [rule for group in spec["groups"] for rule in group["rules"]]:
        assert rule["expr"].count(f'namespace="{name}"') == 1, rule["expr"]
        rule["expr"] = rule["expr"].replace(f'namespace="{name}"', 'namespace="compose"')
    return spec


def test_objects_are_the_environments(environment):
    for item in bare(environment):
        assert item["metadata"]["namespace"] == environment
        assert item["metadata"]["name"].startswith(ENVIRONMENTS[environment] + "-")


def test_rules_name_the_environment_and_are_else_the_ones_that_promtool_tests(environment):
    found = {name: of_compose(spec, environment) for name, spec in rules(bare(environment)).items()}
    assert found == {path.stem: yaml.safe_load(path.read_text()) for path in RULES}


def test_the_prometheus_operators_schemas_are_kept():
    objects = [
        item for item in bare("production") if item["apiVersion"] == "monitoring.coreos.com/v1"
    ]
    assert {item["kind"] for item in objects} == {"PodMonitor", "Probe", "PrometheusRule"}
    run("node", "--input-type=module", "-e", VALIDATE, MODELS, input=json.dumps(objects))


def test_grafanas_sidecar_finds_every_dashboard_under_one_name():
    found = {}
    for item in bare("production"):
        if item["kind"] == "ConfigMap":
            assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
            assert not re.search(r"-[a-z0-9]{10}$", item["metadata"]["name"]), (
                "a change would be a second dashboard beside the first"
            )
            found |= {
                name.removesuffix(".json"): json.loads(text) for name, text in item["data"].items()
            }
    assert found == dashboards()


def test_an_environments_rules_name_it(environment):
    found = rules(whole(environment))
    assert found.keys() == {path.stem for path in RULES}
    for spec in found.values():
        of_compose(spec, environment)


def test_each_service_is_found_and_nothing_else(environment):
    monitor = monitor_of(environment, "services")
    ports, found = {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]}, set()
    for item in whole(environment):
        pod = (
            item["spec"]["template"]
            if item["kind"] in ("Deployment", "StatefulSet", "Job")
            else None
        )
        if pod and selects(monitor["selector"], pod["metadata"]["labels"]):
            found.add(pod["metadata"]["labels"][monitor["jobLabel"]])
            assert ports <= {
                port["name"]
                for container in pod["spec"]["containers"]
                for port in container["ports"]
            }
    assert found == set(SERVICES)


def monitor_of(environment, name):
    """A PodMonitor of an environment by its name without the prefix."""
    monitors = (item for item in whole(environment) if item["kind"] == "PodMonitor")
    return next(
        item["spec"] for item in monitors if item["metadata"]["name"].split("-", 1)[1] == name
    )


def test_public_endpoints_are_probed_by_the_ingress(environment):
    items = whole(environment)
    targets = next(item for item in items if item["kind"] == "Probe")["spec"]["targets"]["ingress"]
    keep = re.compile(
        next(rule["regex"] for rule in targets["relabelingConfigs"] if rule.get("action") == "keep")
    )
    probed = set()
    for ingress in (item for item in items if item["kind"] == "Ingress"):
        if selects({"matchExpressions": [], **targets["selector"]}, ingress["metadata"]["labels"]):
            paths = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
            probed |= {
                path["backend"]["service"]["name"] for path in paths if keep.fullmatch(path["path"])
            }
    prefix = ENVIRONMENTS[environment]
    assert probed == {f"{prefix}-reminder-service", f"{prefix}-notification-service"}


def test_only_own_series_are_kept_of_the_ingress_controller(environment):
    endpoint = monitor_of(environment, "ingress")["podMetricsEndpoints"][0]
    keep = next(
        rule["regex"]
        for rule in endpoint["metricRelabelings"]
        if rule.get("sourceLabels") == ["service"]
    )
    prefix = ENVIRONMENTS[environment]
    assert re.fullmatch(keep, f"{environment}-{prefix}-reminder-service-http@kubernetes")
    assert not re.fullmatch(keep, f"{environment}-2-{prefix}-reminder-service-http@kubernetes")
    assert not re.fullmatch(keep, "elsewhere-x-reminder-service-http@kubernetes")
    assert {"targetLabel": "namespace", "replacement": environment} in endpoint["metricRelabelings"]


def selects(selector, labels):
    """Whether a label selector fits some labels."""
    exactly = all(labels.get(name) == value for name, value in selector["matchLabels"].items())
    return exactly and all(
        labels.get(one["key"]) in one["values"] for one in selector["matchExpressions"]
    )
