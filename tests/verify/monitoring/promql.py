"""PromQL taken apart: which series an expression reads, and which labels its result has.

It knows the metrics of the code, the metrics of Kubernetes that rules and dashboards use, and the
names that the rules record. Any other name, and a match that is impossible, is an error.
"""

import functools
import re

import promql_parser as promql
import yaml

from conftest import ROOT
from monitoring.metrics import TARGET, bounds, exposed, words

RULES = sorted((ROOT / "infra/monitoring/rules").glob("*.yml"))
HISTOGRAM = ("_bucket", "_count", "_sum")
POD = frozenset({"namespace", "pod"})
# Metrics without a macro: Prometheus's own, the standard ones of a process (telemetry/process.rs),
# kube-state-metrics's (v2) and cAdvisor's, with the labels that we may use.
OTHERS = {
    "up": TARGET,
    "process_cpu_seconds_total": TARGET,
    "process_max_fds": TARGET,
    "process_open_fds": TARGET,
    "process_resident_memory_bytes": TARGET,
    "process_start_time_seconds": TARGET,
    "process_threads": TARGET,
    "process_virtual_memory_bytes": TARGET,
    "probe_success": TARGET | {"path"},
    "traefik_service_requests_total": TARGET | {"service", "code"},
    "ALERTS": TARGET | {"alertname", "alertstate", "severity"},
    "container_cpu_usage_seconds_total": POD | {"container"},
    "container_memory_working_set_bytes": POD | {"container"},
    "kube_deployment_spec_replicas": {"namespace", "deployment"},
    "kube_deployment_status_replicas_available": {"namespace", "deployment"},
    "kube_horizontalpodautoscaler_spec_max_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_status_current_replicas": {
        "namespace",
        "horizontalpodautoscaler",
    },
    "kube_cronjob_status_last_successful_time": {"namespace", "cronjob"},
    "kube_job_failed": {"namespace", "job_name", "condition"},
    "kube_pod_container_resource_limits": POD | {"container", "resource"},
    "kube_pod_container_resource_requests": POD | {"container", "resource"},
    "kube_pod_container_status_restarts_total": POD | {"container"},
    "kube_pod_status_phase": POD | {"phase"},
    "kube_pod_status_ready": POD | {"condition"},
}
# Values that no text of the source is: names of ours, classes of statuses, bounds of buckets.
FREE = {"namespace", "job", "status", "pod", "le"}
OF_COUNTERS = {"rate", "increase", "irate"}


def rules():
    """Every rule: its file's name, its group's, and itself."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield path.name, group["name"], rule


@functools.cache
def recorded():
    """Names that the rules record, with their labels; several records of a name are merged."""
    known = {}
    pending = [rule for _, _, rule in rules() if "record" in rule]
    while pending:
        later = []
        for rule in pending:
            expr = promql.parse(rule["expr"])
            if any(
                name not in known and name in {one["record"] for one in pending}
                for name in _names(expr)
            ):
                later.append(rule)
                continue
            found = labels(expr, known) | set(rule.get("labels", ()))
            known[rule["record"]] = known.get(rule["record"], frozenset()) | found
        assert len(later) < len(pending), (
            f"records that need each other: {[rule['record'] for rule in later]}"
        )
        pending = later
    return known


def _names(expr):
    return {selector.name for selector in selectors(expr)}


def _children(expr):
    match expr:
        case promql.BinaryExpr():
            return [expr.lhs, expr.rhs]
        case promql.Call():
            return list(expr.args)
        case promql.MatrixSelector():
            return [expr.vector_selector]
        case (
            promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr()
        ):
            return [expr.expr]
    return []


def selectors(expr):
    """Every series that an expression asks for."""
    if isinstance(expr, promql.VectorSelector):
        return [expr]
    return [selector for child in _children(expr) for selector in selectors(child)]


def bare_counters(expr):
    """Counters of the code that are read without a rate, which says little but the uptime."""
    if isinstance(expr, promql.VectorSelector):
        metric = _own(expr.name)
        return {expr.name} if metric and metric.kind != "gauge" else set()
    if isinstance(expr, promql.Call) and expr.func.name in OF_COUNTERS:
        return set()
    return {name for child in _children(expr) for name in bare_counters(child)}


def _own(name):
    """A metric of the code by the name of one of its series; None for others."""
    if name in exposed() and exposed()[name].kind != "histogram":
        return exposed()[name]
    for suffix in HISTOGRAM:
        base = name.removesuffix(suffix)
        if base != name and base in exposed() and exposed()[base].kind == "histogram":
            return exposed()[base]
    return None


def _of_series(name, known):
    metric = _own(name)
    if metric:
        return metric.labels | TARGET | ({"le"} if name.endswith("_bucket") else set())
    if name in OTHERS:
        return frozenset(OTHERS[name])
    assert name in known, f"nobody exposes or records {name}"
    return known[name]


def _is_scalar(expr):
    if isinstance(expr, (promql.ParenExpr, promql.UnaryExpr)):
        return _is_scalar(expr.expr)
    if isinstance(expr, promql.BinaryExpr):
        return _is_scalar(expr.lhs) and _is_scalar(expr.rhs)
    return isinstance(expr, promql.NumberLiteral) or (
        isinstance(expr, promql.Call) and expr.func.name == "time"
    )


def _of_selector(expr, known):
    found = _of_series(expr.name, known)
    metric = _own(expr.name)
    for matcher in expr.matchers.matchers:
        assert matcher.name in found, f"{expr.name} has no label {matcher.name}"
        values = matcher.value.split("|")
        if matcher.name == "le":
            assert set(values) <= bounds(), f"{expr.name} has no bucket {matcher.value}"
        elif (
            matcher.name == "job"
            and metric
            and "shared" not in metric.crates
            and "$" not in matcher.value
        ):
            assert set(values) <= metric.crates, f"{matcher.value} does not expose {expr.name}"
        elif metric and matcher.name not in FREE:
            assert set(values) <= words(), f"no {matcher.name} of {expr.name} is {matcher.value}"
    return found


def _of_call(expr, known):
    name, arguments = expr.func.name, list(expr.args)
    if name in OF_COUNTERS:
        for selector in selectors(expr):
            metric = _own(selector.name)
            assert metric is None or metric.kind != "gauge", f"{name} of the gauge {selector.name}"
    if name in ("vector", "time"):
        return frozenset()
    if name == "absent":
        asked = arguments[0].matchers.matchers
        labels(arguments[0], known)
        return frozenset(matcher.name for matcher in asked if str(matcher.op) == "MatchOp.Equal")
    inner = next(
        argument
        for argument in arguments
        if not isinstance(argument, (promql.NumberLiteral, promql.StringLiteral))
    )
    found = labels(inner, known)
    if name == "label_replace":
        return found | {arguments[1].val}
    if name == "histogram_quantile":
        assert "le" in found, "a quantile needs le"
        return found - {"le"}
    return found


def _of_aggregate(expr, known):
    inner = labels(expr.expr, known)
    if expr.modifier is None:
        return frozenset()
    asked = frozenset(label for label in expr.modifier.labels if label)
    assert asked <= inner, (
        f"grouped by {sorted(asked - inner)}, which is not there: {expr.prettify()}"
    )
    return asked if expr.modifier.type == promql.AggModifierType.By else inner - asked


def _of_binary(expr, known):
    if _is_scalar(expr.lhs) or _is_scalar(expr.rhs):
        return labels(expr.rhs if _is_scalar(expr.lhs) else expr.lhs, known)
    left, right = labels(expr.lhs, known), labels(expr.rhs, known)
    matching = expr.modifier.matching if expr.modifier else None
    if matching is None:
        assert left == right, f"{sorted(left)} never match {sorted(right)}: {expr.prettify()}"
    else:
        assert set(matching.labels) <= left & right, (
            f"matched on what is not there: {expr.prettify()}"
        )
    return left


def labels(expr, known=None):
    """The labels of an expression's result."""
    known = recorded() if known is None else known
    match expr:
        case promql.VectorSelector():
            return _of_selector(expr, known)
        case promql.Call():
            return _of_call(expr, known)
        case promql.AggregateExpr():
            return _of_aggregate(expr, known)
        case promql.BinaryExpr():
            return _of_binary(expr, known)
        case promql.NumberLiteral() | promql.StringLiteral():
            return frozenset()
    return labels(_children(expr)[0], known)


def read(text):
    """An expression, parsed; Grafana's variables are given values."""
    text = text.replace("$__rate_interval", "5m")
    return promql.parse(re.sub(r"\$(\w+)", r"$\1", text))
