"""What rules and dashboards ask for is what the code exposes: names, labels, values, buckets."""

import re

import pytest

from conftest import ROOT
from monitoring import promql
from monitoring.dashboards import dashboards, targets
from monitoring.metrics import exposed, scan


def problem_of(expr):
    """What is wrong with an expression, if anything."""
    try:
        promql.labels(promql.read(expr))
    except (AssertionError, ValueError) as error:
        return str(error).splitlines()[0]
    return None


def test_rules_ask_for_what_there_is():
    problems = {
        rule.get("alert") or rule["record"]: problem_of(rule["expr"])
        for _, _, rule in promql.rules()
    }
    assert not {name: problem for name, problem in problems.items() if problem}


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_dashboards_ask_for_what_there_is(name):
    problems = {
        panel["title"]: problem_of(target["expr"]) for panel, target in targets(dashboards()[name])
    }
    assert not {title: problem for title, problem in problems.items() if problem}


def test_counters_are_asked_how_they_grow():
    """All but those of rare.yml, which takes off what was there before by hand."""
    exprs = [target["expr"] for content in dashboards().values() for _, target in targets(content)]
    exprs += [rule["expr"] for file, _, rule in promql.rules() if file != "rare.yml"]
    assert not set().union(*(promql.bare_counters(promql.read(expr)) for expr in exprs))


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_legends_name_labels_of_their_series(name):
    for panel, target in targets(dashboards()[name]):
        named = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"]))
        there = promql.labels(promql.read(target["expr"]))
        assert named - {"pod"} <= there | {"le"}, f"{panel['title']}: {sorted(named - there)}"


def test_texts_of_alarms_name_labels_of_their_series():
    for _, _, rule in promql.rules():
        if "alert" in rule:
            text = " ".join(rule["annotations"].values())
            named = set(re.findall(r"\$labels\.(\w+)", text))
            there = promql.labels(promql.read(rule["expr"])) | set(rule["labels"])
            assert named <= there, f"{rule['alert']}: {sorted(named - there)}"


def test_every_metric_is_in_a_dashboard():
    exprs = [target["expr"] for content in dashboards().values() for _, target in targets(content)]
    exprs += [rule["expr"] for _, _, rule in promql.rules() if "record" in rule]
    asked = {selector.name for expr in exprs for selector in promql.selectors(promql.read(expr))}
    shown = {re.sub("_(bucket|count|sum)$", "", name) for name in asked}
    assert exposed().keys() - shown == set()


def test_the_code_is_read_as_it_is_written():
    source = """
        metrics::counter!("a_total", "queue" => name.clone(), "outcome" => f(x, ")"))
            .increment(1);
        let lateness = metrics::histogram!("b_seconds");
        until_none_is_left("c_total", || forget());
        metrics::counter!(counter).increment(1);
    """
    found = scan([("shared", "a.rs", source)])
    assert {name: (it.kind, set(it.labels)) for name, it in found.items()} == {
        "a_total": ("counter", {"queue", "outcome"}),
        "b_seconds": ("histogram", set()),
        "c_total": ("counter", set()),
    }
    for unreadable in (
        "metrics::counter!(name)",
        'counter!("a_total")',
        'metrics::counter!("a_total", KEY => "x")',
    ):
        with pytest.raises(AssertionError):
            scan([("shared", "a.rs", unreadable)])


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        ("rate(reminders_made_total[5m])", "nobody exposes"),
        ('reminders_deliveries_total{stage="sent"}', "has no label"),
        ('reminders_deliveries_total{state="sent_off"}', "no state of"),
        ('reminders_delivery_lateness_seconds_bucket{le="0.3"}', "has no bucket"),
        ('reminders_created_total{job="event-service"}', "does not expose"),
        ("rate(reminders_circuit_breaker_state[5m])", "of the gauge"),
        ("sum by (queue) (reminders_deliveries_total)", "which is not there"),
        (
            "histogram_quantile(0.9, sum by (channel) (rate(reminders_delivery_lateness_seconds_bucket[5m])))",
            "needs le",
        ),
        (
            "sum by (channel) (reminders_circuit_breaker_state) / sum by (job) (reminders_circuit_breaker_state)",
            "never match",
        ),
    ],
)
def test_what_there_is_not_is_found(expr, complaint):
    assert complaint in (problem_of(expr) or "")


def test_every_crate_that_exposes_metrics_is_read():
    crates = {
        path.relative_to(ROOT).parts[0]
        for pattern in ["*/src/**/*.rs", "shared/*/src/**/*.rs"]
        for path in ROOT.glob(pattern)
        if "metrics::counter!(" in path.read_text()
    }
    assert crates == {crate for metric in exposed().values() for crate in metric.crates}
