"""Alarms fire in their own environment only if they should, and each has its page."""

import functools
import pathlib
import re
import urllib.parse

import pytest
import yaml

from conftest import ROOT, run
from monitoring import promql

FOLDER = ROOT / "infra/monitoring"
CASES = sorted((ROOT / "tests/verify/monitoring/cases").glob("*.yml"))
RUNBOOKS = ROOT / "docs/operations/alarms.md"
RUNBOOK = "{{ $externalLabels.runbook_base }}docs/operations/alarms.md#"


@functools.cache
def alarms():
    """Every rule that raises an alarm."""
    return [rule for _, _, rule in promql.rules() if "alert" in rule]


def laid_out(folder, case):
    """Writes the rules, without annotations, and a test case where promtool expects them."""
    (folder / "rules").mkdir()
    for source in promql.RULES:
        content = yaml.safe_load(source.read_text())
        for group in content["groups"]:
            for rule in group["rules"]:
                rule.pop("annotations", None)
        (folder / "rules" / source.name).write_text(yaml.safe_dump(content))
    (folder / "case.yml").write_text(yaml.safe_dump(case))
    return folder / "case.yml"


def test_prometheus_takes_its_configuration():
    run("promtool", "check", "config", "--lint=all", "--lint-fatal", FOLDER / "prometheus.yml")


def test_prometheus_takes_the_rules_and_none_is_there_twice():
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *promql.RULES)


def test_compose_is_asked_for_what_it_runs():
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    *jobs, entry = configuration["scrape_configs"]
    for job in jobs:
        assert job["static_configs"] == [
            {"targets": [f"{job['job_name']}:9090"], "labels": {"namespace": "compose"}}
        ]
        assert job["job_name"] in services
    exporter = next(
        rule["replacement"]
        for rule in entry["relabel_configs"]
        if rule.get("target_label") == "__address__"
    )
    assert exporter.split(":")[0] in services
    for target in entry["static_configs"]:
        address = urllib.parse.urlsplit(target["targets"][0])
        assert address.hostname in services and target["labels"] == {
            "namespace": "compose",
            "path": address.path,
        }
    modules = yaml.safe_load((FOLDER / "blackbox.yml").read_text())["modules"]
    assert modules.keys() == set(entry["params"]["module"])
    assert ["./infra/monitoring/blackbox.yml", "/etc/blackbox/blackbox.yml", "ro"] in [
        mount.split(":") for mount in services["blackbox-exporter"]["volumes"]
    ]
    mounts = [mount.split(":") for mount in services["prometheus"]["volumes"]]
    assert ["./infra/monitoring", "/etc/prometheus", "ro"] in mounts


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alarms_fire_and_rest(case, tmp_path):
    run("promtool", "test", "rules", laid_out(tmp_path, yaml.safe_load(case.read_text())))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_another_environment_is_none_of_its_business(case, tmp_path):
    """The series of another namespace record nothing and fire nothing.

    ServiceMissing and EntryNotProbed are left out: they fire for the missing series of ours.
    """
    content = yaml.safe_load(case.read_text())
    names = {
        rule.get("record")
        for path in content["rule_files"]
        for rule in rules_of(pathlib.Path(path).name)
    } - {None}
    for test in content["tests"]:
        for series in test["input_series"]:
            assert 'namespace="compose"' in series["series"]
            series["series"] = series["series"].replace(
                'namespace="compose"', 'namespace="elsewhere"'
            )
        asked = [
            alert
            for alert in test.get("alert_rule_test", [])
            if alert["alertname"] not in ("ServiceMissing", "EntryNotProbed")
        ]
        times = {alert["eval_time"] for alert in asked} | {
            expr["eval_time"] for expr in test.get("promql_expr_test", [])
        }
        test["alert_rule_test"] = [{**alert, "exp_alerts": []} for alert in asked]
        everything = '{__name__=~"' + "|".join(names) + '"}'
        test["promql_expr_test"] = [
            {"expr": everything, "eval_time": time, "exp_samples": []} for time in times
        ]
    run("promtool", "test", "rules", laid_out(tmp_path, content))


def rules_of(file):
    """The rules of one file."""
    return [rule for name, _, rule in promql.rules() if name == file]


def test_every_alarm_is_seen_to_fire_and_to_rest():
    fired, rested = set(), set()
    for case in CASES:
        for test in yaml.safe_load(case.read_text())["tests"]:
            for alert in test.get("alert_rule_test", []):
                name = alert["alertname"]
                rested |= set() if alert["exp_alerts"] else {name}
                fired |= {
                    (name, *sorted(fixed_labels(name, it["exp_labels"]).items()))
                    for it in alert["exp_alerts"]
                }
    assert fired == {(rule["alert"], *sorted(rule["labels"].items())) for rule in alarms()}
    assert rested == {rule["alert"] for rule in alarms()}


def fixed_labels(name, labels):
    """Those labels of an alarm that its rule sets."""
    fixed = {label for rule in alarms() if rule["alert"] == name for label in rule["labels"]}
    return {label: value for label, value in labels.items() if label in fixed}


@pytest.mark.parametrize(
    "rule",
    [rule for _, _, rule in promql.rules()],
    ids=lambda rule: rule.get("alert") or rule["record"],
)
def test_the_first_quoted_text_is_the_namespace_and_the_only_one(rule):
    """k8s/components/monitoring replaces just that one."""
    assert re.match(r'[^"]*namespace="compose"', rule["expr"])
    assert rule["expr"].count("compose") == 1


@pytest.mark.parametrize(
    "rule", alarms(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}"
)
def test_an_alarm_says_what_it_is_how_bad_and_where_to_read_on(rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    texts = rule["annotations"]
    assert texts.keys() == {"summary", "description", "runbook"}
    assert texts["runbook"] == RUNBOOK + rule["alert"].lower()
    assert len(texts["summary"]) < 120 and texts["summary"].endswith(".")
    assert texts["description"].endswith(".") and "\n" not in texts["description"]
    assert "{{ $labels.namespace }}" in texts["summary"], (
        "who is called must know for which environment"
    )


def test_every_alarm_has_its_section_and_every_section_its_alarm():
    sections = dict(
        re.findall(r"^### (\w+)$(.*?)(?=^###? |\Z)", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)
    )
    assert sections.keys() == {rule["alert"] for rule in alarms()}
    for name, section in sections.items():
        assert "**Means**" in section and "**Do**" in section, (
            f"{name} says not both what it means and what to do"
        )
