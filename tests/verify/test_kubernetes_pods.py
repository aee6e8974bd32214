"""Start, run and stop of pods."""

import json
import math
import re

import pytest

from conftest import ROOT, SERVICES
from kubernetes_rendered import (
    VARIANTS,
    WHOLE,
    containers,
    identity,
    objects,
    pod_of,
    quantity,
    service_of,
    workloads,
)

every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_whole = pytest.mark.parametrize("variant", WHOLE)


def seconds(file, pattern):
    """Reads a duration from the code, in seconds."""
    found = re.search(pattern, (ROOT / file).read_text())
    assert found, (
        f"{file} says nothing like {pattern}: the grace periods in k8s/base/services are to be looked at again"
    )
    return int(found[1])


def longest_drain(service):
    """Returns the longest time of a process after SIGTERM: the sum of its limits."""
    of = r"const {}: Duration = Duration::from_secs\((\d+)\)".format
    requests = seconds("shared/service/src/http/server.rs", of("DRAIN"))
    outbox = seconds("shared/service/src/outbox/relay.rs", of("DRAIN"))
    statement = seconds("shared/db/src/settings.rs", r'"statement_timeout", "(\d+)s"')
    batch = (
        seconds("shared/service/src/consumer.rs", of("WAIT"))
        + statement
        + seconds("shared/bus/src/aws/config.rs", of("OPERATION"))
    )
    sends = seconds("notification-service/src/dispatch/worker.rs", of("DRAIN"))
    results = seconds("notification-service/src/dispatch/result_writer.rs", of("DRAIN"))
    return {
        "reminder-service": requests + outbox,
        "event-service": max(requests, batch) + outbox,
        # Two loops claim, and are waited for one after the other.
        "notification-scheduler": 2
        * seconds("notification-scheduler/src/tasks/scheduler.rs", of("DRAIN")),
        "notification-service": max(requests, batch + sends + results) + outbox,
    }[service]


@pytest.mark.parametrize("service", SERVICES)
def test_grants_time_to_drain(service):
    [pod] = [
        pod_of(item) for item in objects("production", "Deployment") if service_of(item) == service
    ]
    [container] = pod["spec"]["containers"]
    needed = container["lifecycle"]["preStop"]["sleep"]["seconds"] + longest_drain(service)
    assert needed < pod["spec"]["terminationGracePeriodSeconds"] <= needed + 20


@every_whole
def test_rolls_out_without_gap_with_probes(variant):
    for item in objects(variant, "Deployment"):
        if not service_of(item):
            continue
        assert item["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        [container] = pod_of(item)["spec"]["containers"]
        paths = {
            probe: container[probe]["httpGet"]["path"]
            for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        # Liveness must not ask for what other things than a restart would mend.
        assert paths == {
            "startupProbe": "/healthz",
            "readinessProbe": "/readyz",
            "livenessProbe": "/healthz",
        }
        assert all(container[probe]["httpGet"]["port"] == "admin" for probe in paths)
        # A check of readiness takes up to 2 s by itself.
        assert container["readinessProbe"]["timeoutSeconds"] > seconds(
            "shared/service/src/http/admin.rs",
            r"const CHECK_LIMIT: Duration = Duration::from_secs\((\d+)\)",
        )
        # Out of the Service's endpoints before SIGTERM comes.
        assert container["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5


@every_whole
def test_spreads_pods_over_zones_and_nodes(variant):
    for item in objects(variant, "Deployment"):
        if service_of(item):
            pod = pod_of(item)
            spread = pod["spec"]["topologySpreadConstraints"]
            assert [one["topologyKey"] for one in spread] == [
                "topology.kubernetes.io/zone",
                "kubernetes.io/hostname",
            ]
            for one in spread:
                assert one["labelSelector"]["matchLabels"] == pod["metadata"]["labels"]


@every_variant
def test_restricts_pods_beyond_namespace_level(variant):
    for item in workloads(variant):
        spec = pod_of(item)["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"][
            "seccompProfile"
        ] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all(
            set(volume) & {"secret", "emptyDir", "configMap"} for volume in spec.get("volumes", [])
        )
        if service_of(item):
            assert (
                spec["securityContext"]["runAsUser"]
                == spec["securityContext"]["runAsGroup"]
                == 65532
            )
        for container in containers(pod_of(item)):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, identity(item)
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            # Memory has a limit; CPU has none, for a throttled process sends late.
            assert set(container["resources"]["limits"]) - {"ephemeral-storage"} == {"memory"}


@every_variant
def test_enforces_restricted_pods_in_namespace(variant):
    [namespace] = objects(variant, "Namespace")
    for mode in ("enforce", "audit", "warn"):
        assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"


def most_pods(variant, item):
    """Returns the largest number of pods of a workload: the autoscaler's maximum, and the surge of
    a roll-out.
    """
    if item["kind"] != "Deployment":
        return item["spec"].get("replicas", 1)
    most = item["spec"].get("replicas")
    for scaler in objects(variant, "HorizontalPodAutoscaler", "ScaledObject"):
        if scaler["spec"]["scaleTargetRef"]["name"] == item["metadata"]["name"]:
            most = scaler["spec"].get("maxReplicas") or scaler["spec"]["maxReplicaCount"]
    surge = item["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", "0%")
    return most + math.ceil(most * int(surge.removesuffix("%")) / 100)


@every_whole
def test_quota_fits_largest_number_of_pods(variant):
    [quota] = [item["spec"]["hard"] for item in objects(variant, "ResourceQuota")]
    environment = VARIANTS[variant][0]
    migrations = [] if environment == "local" else objects(f"{environment}/migrate", "Job")
    needed = {"pods": 0, "requests.cpu": 0, "requests.memory": 0, "limits.memory": 0}
    for item, count in [(item, most_pods(variant, item)) for item in workloads(variant)] + [
        (job, 1) for job in migrations
    ]:
        resources = [container["resources"] for container in pod_of(item)["spec"]["containers"]]
        needed["pods"] += count
        needed["requests.cpu"] += count * sum(quantity(one["requests"]["cpu"]) for one in resources)
        needed["requests.memory"] += count * sum(
            quantity(one["requests"]["memory"]) for one in resources
        )
        needed["limits.memory"] += count * sum(
            quantity(one["limits"]["memory"]) for one in resources
        )
    for name, value in needed.items():
        assert value <= quantity(quota[name]), f"{name}: {value}"


def test_orders_priorities_of_environments():
    values = [
        objects(environment, "PriorityClass")[0]["value"]
        for environment in ("production", "staging", "development")
    ]
    assert values == sorted(values, reverse=True) and len(set(values)) == 3


def test_renders_staging_like_production():
    def shape(environment, prefix):
        kinds = (
            "Deployment",
            "HorizontalPodAutoscaler",
            "PodDisruptionBudget",
            "ResourceQuota",
            "LimitRange",
            "Service",
            "NetworkPolicy",
        )
        specs = json.dumps([[item["kind"], item["spec"]] for item in objects(environment, *kinds)])
        # But for the prefix, in names and tags, and the digest of the variables' values.
        digests = "|".join(item["metadata"]["name"] for item in objects(environment, "ConfigMap"))
        return re.sub(f'"{prefix}-|-{prefix}"', '"', re.sub(digests, "variables", specs))

    assert shape("staging", "stg") == shape("production", "prod")
