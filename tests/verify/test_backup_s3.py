"""Backups in S3: uploaded whole and encrypted, listed, fetched and checked; by the AWS CLI against MiniStack."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.request

import pytest

from backup_databases import House, cluster
from conftest import ROOT, run, tool

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextlib.contextmanager
def ministack(folder):
    """A local S3; its endpoint."""
    program = ROOT / ".venv" / "bin" / "ministack"
    assert program.exists(), "MiniStack is not in .venv; run `make verify`, which installs it"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "s3", "LOG_LEVEL": "WARNING", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    process = subprocess.Popen([program], cwd=folder, env=told | {"PATH": os.environ["PATH"], "HOME": str(folder)})
    try:
        endpoint = f"http://127.0.0.1:{port}"
        limit = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5):
                break
            assert process.poll() is None and time.monotonic() < limit, "MiniStack did not start"
            time.sleep(0.1)
        yield endpoint
    finally:
        process.terminate()
        process.wait(30)


def aws(endpoint, *arguments):
    """Something done by the AWS CLI."""
    return run(tool("aws"), "--endpoint-url", endpoint, *arguments, env=CREDENTIALS | {"PATH": os.environ["PATH"]})


@pytest.fixture(scope="module")
def server():
    with cluster() as started:
        yield started


def test_a_backup_goes_to_s3_encrypted_and_comes_back(server, tmp_path):
    house = House(server, tmp_path)
    house.sql("device", "insert into suppressed_addresses (address_hash, reason) values ('\\x00ff', 'bounce')")
    with ministack(tmp_path) as endpoint:
        aws(endpoint, "s3", "mb", "s3://backups")
        place = CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint, "BACKUP_PLACE": "s3://backups/of/production"}
        code, output, errors = house.script("backup.sh", **place)
        assert code == 0, output + errors
        id = house.script("restore.sh", "--list", **place)[1].strip()
        keys = aws(endpoint, "s3api", "list-objects-v2", "--bucket", "backups", "--query", "Contents[].Key", "--output", "text").split()
        files = ["SHA256SUMS", "device.dump", "manifest.json", "notification.dump", "reminder.dump"]
        assert keys == [f"of/production/{id}/{file}" for file in files]
        # An encryption that the bucket does not give is noticed.
        code, _, errors = house.script("backup.sh", **place, BACKUP_SSE="bucket")
        assert code != 0 and "asked for the encryption bucket, what arrived has None" in errors, errors
        other = house.empty()
        code, output, errors = other.script("restore.sh", "--backup", id, **place)
        assert code == 0, output + errors
        assert other.sql("device", "select count(*) from suppressed_addresses") == "1"
        # SHA256SUMS is uploaded last: without it, a backup was not finished.
        aws(endpoint, "s3", "rm", f"s3://backups/{keys[0]}")
        assert id not in house.script("restore.sh", "--list", **place)[1].split()
