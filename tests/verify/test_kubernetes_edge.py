"""Requests of clients through a real Traefik, with the rendered manifests of all three environments
in one cluster, and backends that return the request.
"""

import http.client
import http.server
import json
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import ENVIRONMENTS, ROOT, SERVICES, tool
from kubernetes_api import Api
from kubernetes_rendered import objects

HOSTS = {
    "development": "api.development.example.com",
    "staging": "api.staging.example.com",
    "production": "api.example.com",
}
PUBLIC = ["reminder-service", "notification-service"]
# A part of what reminder-service answers to the same; it asks for it within the cluster.
ASKED_BY_A_PEER = {("notification-service", "/me/export")}


def paths_of(service):
    """Returns the paths of a service's API, with values for the variable parts."""
    described = json.loads((ROOT / service / "openapi.json").read_text())
    return {
        re.sub(r"\{\w+\}", "0197", path): [method.upper() for method in methods]
        for path, methods in described["paths"].items()
    }


def identity_headers():
    """Returns the headers by which the code accepts an identity from a gateway. X-Request-Id names
    the request.
    """
    code = (ROOT / "shared/rest/src/identity.rs").read_text()
    return set(re.findall(r'"(x-[a-z-]+)"', code.partition("#[cfg(test)]")[0])) - {"x-request-id"}


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers with the request that it received."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Logs nothing."""

    def answer(self):
        """Returns the host, the request and its headers."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        text = json.dumps(
            {
                "service": self.server.service,
                "path": self.path,
                "method": self.command,
                "headers": headers,
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def slices(services, backends):
    """Returns the EndpointSlices of each Service, which point to the backend of its environment and
    service.
    """
    for service in services:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "ports": [
                {"name": port["name"], "port": backends[name], "protocol": "TCP"}
                for port in service["spec"]["ports"]
            ],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        }


@pytest.fixture(scope="module")
def traefik(tmp_path_factory):
    """Starts Traefik. Yields the ports for HTTP and HTTPS."""
    servers = {}
    for name in (f"{prefix}-{service}" for prefix in ENVIRONMENTS.values() for service in SERVICES):
        servers[name] = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
        servers[name].service = name
        servers[name].daemon_threads = True
        threading.Thread(target=servers[name].serve_forever, args=(0.05,), daemon=True).start()
    rendered = [
        item
        for environment in ENVIRONMENTS
        for item in objects(environment, "Service", "Ingress", "Middleware")
    ]
    services = [item for item in rendered if item["kind"] == "Service"]
    rendered += slices(services, {name: server.server_port for name, server in servers.items()})
    rendered.append(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": "traefik"},
            "spec": {"controller": "traefik.io/ingress-controller"},
        }
    )
    plain, secure = free_port(), free_port()
    log = tmp_path_factory.mktemp("traefik") / "log"
    with Api(rendered) as api, log.open("w") as said:
        command = [
            tool("traefik"),
            f"--entrypoints.web.address=127.0.0.1:{plain}",
            f"--entrypoints.websecure.address=127.0.0.1:{secure}",
            f"--providers.kubernetesingress.endpoint={api.url}",
            f"--providers.kubernetescrd.endpoint={api.url}",
            "--providers.kubernetesingress.token=any",
            "--providers.kubernetescrd.token=any",
            "--global.checknewversion=false",
        ]
        running = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            wait_until_routed(running, plain, secure, log)
            yield plain, secure
        finally:
            running.terminate()
            running.wait(10)
            for server in servers.values():
                server.shutdown()
                server.server_close()


def wait_until_routed(running, plain, secure, log):
    """Waits until every environment is reachable over HTTP and HTTPS."""
    answers, deadline = None, time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        try:
            answers = [ask(secure, "GET", host, "/reminders")[0] for host in HOSTS.values()]
            answers += [ask(plain, "GET", host, "/", tls=False)[0] for host in HOSTS.values()]
            if answers == [200] * 3 + [301] * 3:
                return
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"Traefik does not route ({answers}):\n{log.read_text()[-5000:]}")


def ask(port, method, host, path, headers=(), tls=True):
    """Sends a request as a client. Returns status, headers, and the request as the backend received
    it (None if no backend was reached).
    """
    if tls:
        # Its certificate is the cluster's business; here it is Traefik's own.
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, context=ssl._create_unverified_context(), timeout=10
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in [("Host", host), *headers]:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        return (
            answer.status,
            dict(answer.getheaders()),
            json.loads(body) if body.startswith(b"{") else None,
        )
    finally:
        connection.close()


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_routes_each_public_path_to_its_service(traefik, environment):
    for service in PUBLIC:
        for path, methods in paths_of(service).items():
            expected = "reminder-service" if (service, path) in ASKED_BY_A_PEER else service
            for method in methods:
                _, _, asked = ask(traefik[1], method, HOSTS[environment], path)
                assert asked, f"{method} {path} leads nowhere"
                assert (asked["service"], asked["method"], asked["path"]) == (
                    f"{ENVIRONMENTS[environment]}-{expected}",
                    method,
                    path,
                )


def test_routes_no_other_path(traefik):
    public = {path for service in PUBLIC for path in paths_of(service)}
    internal = set(paths_of("event-service")) - public
    assert len(internal) >= 6
    beside = [
        "/",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/metrics",
        "/me/",
        "/me/other",
        "/mean",
        "/reminders-of-others",
        "/devices",
        "/preferences/x",
    ]
    for path in [*sorted(internal), *beside]:
        status, _, asked = ask(traefik[1], "GET", "api.example.com", path)
        assert (status, asked) == (404, None), path


def test_routes_no_ingress_to_internal_ports():
    for environment in ENVIRONMENTS:
        for ingress in objects(environment, "Ingress"):
            for path in ingress["spec"]["rules"][0]["http"]["paths"]:
                backend = path["backend"]["service"]
                assert backend["name"].partition("-")[2] in PUBLIC
                assert backend["port"] == {"name": "http"}


def test_routes_hosts_to_own_environment_only(traefik):
    for environment, host in HOSTS.items():
        assert (
            ask(traefik[1], "GET", host, "/device")[2]["service"]
            == f"{ENVIRONMENTS[environment]}-notification-service"
        )
    assert ask(traefik[1], "GET", "example.com", "/device")[0] == 404


def test_strips_identity_headers_of_clients(traefik):
    known = identity_headers()
    assert known == {
        "x-authenticated-userid",
        "x-consumer-username",
        "x-anonymous-consumer",
        "x-gateway-secret",
    }
    forged = (
        [(name, "mallory") for name in known]
        + [(name.upper(), "again") for name in known]
        + [(name.title(), "") for name in known]
    )
    for path in ("/reminders", "/device"):
        _, _, asked = ask(traefik[1], "GET", "api.example.com", path, forged)
        assert not known & {name for name, _ in asked["headers"]}


def test_passes_headers_that_services_read(traefik):
    sent = {
        "authorization": "Bearer token",
        "idempotency-key": "1",
        "x-request-id": "r",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "origin": "https://app.example.com",
        "content-type": "application/json",
    }
    _, _, asked = ask(
        traefik[1],
        "POST",
        "api.example.com",
        "/reminders",
        [*sent.items(), ("Content-Length", "0")],
    )
    assert sent.items() <= dict(asked["headers"]).items()


def test_redirects_http_to_https(traefik):
    for path in ("/reminders?limit=3", "/anything"):
        status, headers, asked = ask(traefik[0], "GET", "api.example.com", path, tls=False)
        assert (status, headers["Location"], asked) == (301, f"https://api.example.com{path}", None)
    status, _, asked = ask(
        traefik[0],
        "POST",
        "api.example.com",
        "/reminders",
        [("X-Authenticated-Userid", "mallory")],
        tls=False,
    )
    assert (status, asked) == (308, None)


def test_sends_strict_transport_security(traefik):
    assert (
        "max-age=31536000"
        in ask(traefik[1], "GET", "api.example.com", "/reminders")[1]["Strict-Transport-Security"]
    )
