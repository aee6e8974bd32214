"""Test of scripts/smoke.sh: it detects each fault of an environment from outside."""

import http.server
import os
import subprocess
import threading

import pytest

from conftest import ROOT

PUBLIC = {"reminders", "me", "device", "notifications", "preferences"}


class Edge(http.server.BaseHTTPRequestHandler):
    """A correct edge with one fault."""

    fault = ""

    def do_GET(self):
        path = self.path.split("?")[0]
        if self.fault == "down":
            return self.answer(502)
        if self.fault == "open" and path.startswith(("/timeline", "/metrics", "/readyz")):
            return self.answer(200)
        if path.split("/")[1] not in PUBLIC:
            return self.answer(404)
        if self.fault == "believes" and "X-Authenticated-Userid" in self.headers:
            return self.answer(200)
        if self.fault == "unsigned" and "Authorization" in self.headers:
            return self.answer(200)
        if self.fault == "half" and path.startswith("/device"):
            return self.answer(503)
        return self.answer(401)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("", ""),
        ("down", "reminder-service refuses a call without identity"),
        ("half", "notification-service refuses a call without identity"),
        ("believes", "notification-service refuses an identity without proof"),
        ("unsigned", "an unsigned token is refused"),
        ("open", "metrics are not reachable"),
    ],
)
def test_detects_each_fault(fault, said):
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Faulty", (Edge,), {"fault": fault})
    )
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    done = subprocess.run(
        [ROOT / "scripts/smoke.sh", address],
        env={**os.environ, "SMOKE_SECONDS": "0"},
        text=True,
        capture_output=True,
    )
    server.shutdown()
    server.server_close()
    assert (done.returncode == 0) == (said == ""), done.stderr
    assert said in done.stderr
