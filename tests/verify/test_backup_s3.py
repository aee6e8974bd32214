"""Backups in S3 with the AWS CLI and MiniStack: uploaded completely and encrypted, listed,
downloaded and verified.
"""

import contextlib
import os
import re
import socket
import subprocess
import time
import urllib.request

import pytest

from backup_databases import TestedDatabases, cluster
from conftest import ROOT

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextlib.contextmanager
def ministack(folder):
    """Starts a local S3. Yields its endpoint."""
    program = ROOT / ".venv" / "bin" / "ministack"
    assert program.exists(), "MiniStack is not in .venv; run `make verify`, which installs it"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": "s3",
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    process = subprocess.Popen(
        [program], cwd=folder, env=told | {"PATH": os.environ["PATH"], "HOME": str(folder)}
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        limit = time.monotonic() + 60
        while True:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5),
            ):
                break
            assert process.poll() is None and time.monotonic() < limit, "MiniStack did not start"
            time.sleep(0.1)
        yield endpoint
    finally:
        process.terminate()
        process.wait(30)


def ask(method, url):
    """Sends one request to the local S3, which needs no credentials. Returns the body."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def server():
    with cluster() as started:
        yield started


def test_restores_encrypted_backup_from_s3(server, tmp_path):
    suite_databases = TestedDatabases(server, tmp_path)
    suite_databases.sql(
        "device",
        "insert into suppressed_addresses (address_hash, reason) values ('\\x00ff', 'bounce')",
    )
    with ministack(tmp_path) as endpoint:
        ask("PUT", f"{endpoint}/backups")
        place = CREDENTIALS | {
            "AWS_ENDPOINT_URL": endpoint,
            "BACKUP_PLACE": "s3://backups/of/production",
        }
        # It makes sure itself that everything arrived, and that it is encrypted.
        code, output, errors = suite_databases.script("backup.sh", **place)
        assert code == 0, output + errors
        other = suite_databases.empty()
        code, output, errors = other.script("restore.sh", **place)
        assert code == 0, output + errors
        assert other.sql("device", "select count(*) from suppressed_addresses") == "1"
        keys = re.findall(
            r"<Key>of/production/(.*?)/(.*?)</Key>", ask("GET", f"{endpoint}/backups?list-type=2")
        )
        assert [file for _, file in keys] == [
            "SHA256SUMS",
            "device.dump",
            "manifest.json",
            "notification.dump",
            "reminder.dump",
        ]
        # SHA256SUMS is uploaded last: without it, a backup was not finished.
        ask("DELETE", f"{endpoint}/backups/of/production/{keys[0][0]}/SHA256SUMS")
        code, _, errors = suite_databases.script("restore.sh", "--check", **place)
        assert code != 0 and "there is no complete backup" in errors
