"""docs/SCALE.md: its derived figures follow from the figures in docs/BENCHMARKS.md and from the
manifests.
"""

import math
import re

import pytest
import yaml

from conftest import ROOT

RATES = [100, 1_000, 2_500, 5_000, 10_000]
SCALE = (ROOT / "docs/SCALE.md").read_text()
BENCHMARKS = (ROOT / "docs/BENCHMARKS.md").read_text()


def measured():
    """Returns the measured figures, in µs of CPU per notification and events per second."""
    cpu = {
        name: int(figure)
        for name, figure in re.findall(
            r"^\| ([\w-]+)(?:, [^|]*)? \| (\d+) \|$", BENCHMARKS, re.MULTILINE
        )
    }
    events = re.search(r"^\| events applied \| ([\d,]+)/s", BENCHMARKS, re.MULTILINE)
    assert {
        "notification-service",
        "scheduler",
        "event-service",
        "PostgreSQL",
        "bus",
    } <= cpu.keys() and events, "BENCHMARKS.md has its figures elsewhere"
    return {
        "sender": cpu["notification-service"], "scheduler": cpu["scheduler"], "catalogue": cpu["event-service"],
        "database": cpu["PostgreSQL"] - cpu["bus"], "events": int(events[1].replace(",", "")),
    }  # fmt: skip


def manifest(service, name):
    return yaml.safe_load((ROOT / f"k8s/base/services/{service}/{name}.yaml").read_text())


def half_a_request(service):
    """Returns the CPU at which the autoscaler adds a pod, in µs per second."""
    request = manifest(service, "deployment")["spec"]["template"]["spec"]["containers"][0][
        "resources"
    ]["requests"]["cpu"]
    target = manifest(service, "autoscaler")["spec"]["metrics"][0]["resource"]["target"][
        "averageUtilization"
    ]
    return int(request.removesuffix("m")) * 1_000 * target / 100


def bounds(service):
    spec = manifest(service, "autoscaler")["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


def pods(rate):
    """Returns the number of pods of each service, at least the autoscaler's minimum."""
    figures = measured()
    by_cpu = {
        "notification-service": math.ceil(
            rate * figures["sender"] / half_a_request("notification-service")
        ),
        "notification-scheduler": math.ceil(
            rate * figures["scheduler"] / half_a_request("notification-scheduler")
        ),
        "event-service": max(
            math.ceil(rate * figures["catalogue"] / half_a_request("event-service")),
            math.ceil(3 * rate / figures["events"]),
        ),
        "reminder-service": 0,
    }
    return {service: max(number, bounds(service)[0]) for service, number in by_cpu.items()}


def derived_table():
    process = (ROOT / "k8s/base/foundation/process.env").read_text()
    connections_each = int(re.search(r"^DB_MAX_CONNECTIONS=(\d+)", process, re.MULTILINE)[1])
    lines = []
    for rate in RATES:
        number = pods(rate)
        connections = sum(number.values()) * connections_each
        lines.append(
            f"| {rate:,}/s | {number['notification-service']} | {number['notification-scheduler']} | {number['event-service']} "
            f"| {(rate * measured()['database'] + 5_000) // 10_000 / 100:.2f} | {connections} · {math.ceil(connections * 1.25)} | {2 * rate:,} · {4 * rate:,} | {rate / 5:,.0f} |"
        )
    return lines


def test_derives_table_from_current_figures():
    found = [line for line in SCALE.splitlines() if re.match(r"\| [\d,]+/s \| \d+ \|", line)]
    assert found == derived_table(), (
        "docs/SCALE.md, \"From 100 to 10,000 a second\" should say:\n" + "\n".join(derived_table())
    )


@pytest.mark.parametrize(
    "service", ["notification-service", "notification-scheduler", "event-service"]
)
def test_stays_within_autoscalers(service):
    assert pods(RATES[-1])[service] <= bounds(service)[1]


def test_derives_time_of_burst():
    burst = re.search(r"accepted and recorded \| ([\d,]+)/s", BENCHMARKS)[1]
    seconds = 100_000 / int(burst.replace(",", ""))
    assert f"100,000 at 09:00 take {seconds:.0f} s" in " ".join(SCALE.split())


EVENTS_DUE, EVENTS_CREATED_AND_DUE, PACK = 2, 4, 60


def test_derives_rates_from_quotas_of_sns():
    rows = re.findall(r"^\| [A-Zt][\w., ]+ ((?:\| [\d,]+ ){5})\|$", SCALE, re.MULTILINE)
    assert len(rows) == 4
    for row in rows:
        quota, *rates = [int(cell.replace(",", "")) for cell in row.split("|")[1:]]
        single = [quota // EVENTS_DUE, quota // EVENTS_CREATED_AND_DUE]
        assert rates == single + [rate * PACK for rate in single]


def test_derives_bill_of_sns_and_sqs():
    """A request has up to 10 messages, and is counted for each 64 KiB."""
    for events, label in [(1, "single events"), (PACK, "packs of 60")]:
        messages = math.ceil(1_000_000 * EVENTS_CREATED_AND_DUE / events)
        bytes_of_call = 10 * events * 700
        requests = messages / 10 * max(1, bytes_of_call / 65_536)
        sns = requests * 0.5 / 1e6
        sqs = (requests + messages / 10) * 0.4 / 1e6
        row = f"| {label} | {messages:,} | ${sns:.2f} | ${sqs:.2f} | ${sns + sqs:.2f} |"
        assert row in SCALE, row


def test_quotes_limits_of_the_code():
    """Figures of the code that a reader uses."""
    for file, pattern, quoted in [
        ("shared/bus/src/aws.rs", r"const BATCH: usize = (\d+)", "{} messages a call"),
        ("shared/bus/src/aws.rs", r"const CALLS: usize = (\d+)", "{} calls at once"),
        (
            "notification-service/config.json",
            r'"default": "(\d+)",\s*"name": "PUSH_MAX_IN_FLIGHT"|PUSH_MAX_IN_FLIGHT"[^}]*?"default": "(\d+)"',
            "`PUSH_MAX_IN_FLIGHT` ({})",
        ),
    ]:
        found = re.search(pattern, (ROOT / file).read_text(), re.DOTALL)
        assert found, file
        number = next(group for group in found.groups() if group)
        assert quoted.format(f"{int(number):,}") in " ".join(SCALE.split()), quoted.format(number)
