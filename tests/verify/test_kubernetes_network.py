"""Connections that the rendered policies allow: exactly those that are needed."""

import pytest

from conftest import ENVIRONMENTS, SERVICES
from kubernetes_network import Endpoint, Network
from kubernetes_rendered import OWNERS_OF_TABLES, objects, pod_of, service_of, workloads

HTTP, ADMIN, HTTPS, POSTGRES, DNS = (
    ("TCP", 3000),
    ("TCP", 9090),
    ("TCP", 443),
    ("TCP", 5432),
    (("UDP", 53), ("TCP", 53)),
)


def app(name):
    return (("app.kubernetes.io/name", name),)


# Whoever else is about, and what might be asked for.
AROUND = [
    Endpoint("traefik", "traefik", app("traefik"), ports=(HTTPS,)),
    Endpoint("beside traefik", "traefik", app("something")),
    Endpoint("prometheus", "monitoring", app("prometheus"), ports=(ADMIN,)),
    Endpoint("dns", "kube-system", (("k8s-app", "kube-dns"),), ports=DNS),
    Endpoint("beside dns", "kube-system", ports=(*DNS, HTTPS)),
    Endpoint(
        "another environment",
        "elsewhere",
        (*app("reminder-service"), ("app.kubernetes.io/component", "service")),
        ports=(HTTP, ADMIN),
    ),
    Endpoint("database", ip="10.40.7.7", ports=(POSTGRES, ("TCP", 22))),
    Endpoint("another network's database", ip="10.41.7.7", ports=(POSTGRES,)),
    Endpoint("AWS", ip="52.94.5.5", ports=(HTTPS, ("TCP", 80), POSTGRES)),
    Endpoint("AWS within the VPC", ip="10.40.9.9", ports=(HTTPS,)),
    Endpoint("the node's metadata", ip="169.254.169.254", ports=(HTTPS, ("TCP", 80))),
]
OUTSIDE = {("AWS", "TCP/443"), ("AWS within the VPC", "TCP/443"), ("database", "TCP/5432")}
NAMES = {("dns", "UDP/53"), ("dns", "TCP/53")}


def endpoints(variant, namespace):
    """Returns the pods of a variant by the names of their services, and one that belongs to no
    service.
    """
    pods = [Endpoint("stranger", namespace, app("stranger"), ports=(HTTP, ADMIN))]
    for item in workloads(variant):
        template = pod_of(item)
        name = template["metadata"]["labels"]["app.kubernetes.io/name"] + (
            " migration" if item["kind"] == "Job" and service_of(item) else ""
        )
        # Every port is tried at every pod, whether or not it listens there.
        ports = {
            ("TCP", port["containerPort"])
            for container in template["spec"]["containers"]
            for port in container.get("ports", [])
        }
        pods.append(
            Endpoint(
                name,
                namespace,
                tuple(template["metadata"]["labels"].items()),
                ports=tuple(sorted(ports | {HTTP, ADMIN})),
            )
        )
    return pods


def expected(services, migrations=()):
    """Returns the connections that a cluster on AWS needs."""
    edges = {(name, *to) for name in (*services, *migrations) for to in OUTSIDE | NAMES}
    edges |= {("stranger", *to) for to in NAMES}
    edges |= {("prometheus", service, "TCP/9090") for service in services}
    if services:
        edges |= {
            ("traefik", service, "TCP/3000")
            for service in ("reminder-service", "notification-service")
        }
        edges |= {
            ("reminder-service", service, "TCP/3000")
            for service in ("event-service", "notification-service")
        }
    return edges


def allowed(variant, namespace):
    """Returns all allowed connections with an end in the namespace."""
    pods = endpoints(variant, namespace)
    ours = {pod.name for pod in pods}
    edges = Network(namespace, objects(variant, "NetworkPolicy")).edges([*pods, *AROUND])
    return {edge for edge in edges if ours & set(edge[:2])}


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_allows_needed_connections_only(environment):
    assert allowed(environment, environment) == expected(SERVICES)


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_lets_migrations_connect_out_only(environment):
    migrations = [f"{service} migration" for service in OWNERS_OF_TABLES]
    assert allowed(f"{environment}/migrate", environment) == expected([], migrations)


def test_opens_colours_like_their_service():
    assert allowed("production+colours", "production") == expected(SERVICES)


def test_opens_egress_of_backup_only():
    assert allowed("production+all", "production") == expected(SERVICES) | {
        ("backup", *to) for to in OUTSIDE | NAMES
    }


def test_reaches_stand_ins_only_when_local():
    needed = {edge for edge in expected(SERVICES) if edge[1:] not in OUTSIDE}
    needed |= {
        (name, *to) for name in ("provision", "postgres", "ministack", "sandbox") for to in NAMES
    }
    needed |= {(service, "postgres", "TCP/5432") for service in SERVICES}
    needed |= {(service, "ministack", "TCP/4566") for service in (*SERVICES, "provision")}
    needed.add(("notification-service", "sandbox", "TCP/4500"))
    assert allowed("local", "local") == needed
