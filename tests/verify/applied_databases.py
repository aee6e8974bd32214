"""Test of scripts/terraform-databases.sh on a private PostgreSQL and MiniStack's Secrets Manager.

`scripts/terraform-local.sh check` runs this. It needs the PostgreSQL server that `make setup`
installs.
"""

import glob
import json
import os
import shutil
import socket
import subprocess
import time

import pytest
from conftest import ROOT, TOOLS
from terraform_tools import MiniStack

# PostgreSQL's server refuses to be root.
USER = "nobody" if os.geteuid() == 0 else None
SECRETS = {
    "reminders": "dev-reminder-db-secrets",
    "notifications": "dev-notification-db-secrets",
    "devices": "dev-device-db-secrets",
}
MASTER = {"username": "master", "password": "it's \"quoted\" and $odd"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Starts a PostgreSQL whose master user is not a superuser, as on RDS. Yields its port."""
    folder = tmp_path_factory.mktemp("postgres")
    for place in [folder, *folder.parents[:3]]:
        os.chmod(place, 0o755)
    data = folder / "data"
    data.mkdir()
    if USER:
        shutil.chown(data, USER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "password").write_text("superuser")
    initdb = shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    postgres = shutil.which("postgres") or max(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    subprocess.run(
        [
            initdb,
            "--pgdata",
            data,
            "--username",
            "root",
            "--auth",
            "scram-sha-256",
            f"--pwfile={folder / 'password'}",
        ],
        check=True,
        capture_output=True,
        user=USER,
    )
    with open(folder / "log", "w", encoding="utf-8") as log:
        command = [
            postgres,
            "-D",
            data,
            "-p",
            str(port),
            "-c",
            f"unix_socket_directories={data}",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "log_statement=all",
            "-c",
            "fsync=off",
        ]
        process = subprocess.Popen(command, stdout=log, stderr=log, user=USER)
    try:
        quoted = MASTER["password"].replace("'", "''")
        for _ in range(100):
            if (
                psql(
                    port,
                    "root",
                    "superuser",
                    "postgres",
                    f"create role {MASTER['username']} login createdb createrole password '{quoted}'",
                ).returncode
                == 0
            ):
                break
            time.sleep(0.1)
        yield port, folder / "log"
    finally:
        process.terminate()
        process.wait()


def psql(port, user, password, database, statement):
    environment = {**os.environ, "PGPASSWORD": password, "PGSSLMODE": "disable"}
    return subprocess.run(
        [
            "psql",
            "-XqtA",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-U",
            user,
            "-d",
            database,
            "-c",
            statement,
        ],
        env=environment,
        text=True,
        capture_output=True,
    )


def test_creates_databases_owners_and_secrets(server, tmp_path):
    port, log = server
    with MiniStack(tmp_path, SERVICES="secretsmanager") as aws:
        manager = aws.client("secretsmanager")
        arn = manager.create_secret(Name="master", SecretString=json.dumps(MASTER))["ARN"]
        for name in SECRETS.values():
            manager.create_secret(Name=name)

        def script(*options, address="dev.example.com"):
            (tmp_path / "database.json").write_text(
                json.dumps({"address": address, "master_secret_arn": arn, "secret_names": SECRETS})
            )
            environment = {
                "PATH": f"{TOOLS / 'venv/bin'}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "PGSSLMODE": "disable",
                "AWS_ENDPOINT_URL": aws.endpoint,
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            }
            command = [
                ROOT / "scripts/terraform-databases.sh",
                "--database",
                tmp_path / "database.json",
                "--via",
                f"127.0.0.1:{port}",
                *options,
            ]
            done = subprocess.run(
                list(map(str, command)), env=environment, text=True, capture_output=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        def known(database):
            return json.loads(manager.get_secret_value(SecretId=SECRETS[database])["SecretString"])

        def works(
            owner,
            statement="create temporary table t (); create table if not exists t2 ()",
            into=None,
        ):
            return (
                psql(
                    port, owner["user"], owner["password"], into or owner["name"], statement
                ).returncode
                == 0
            )

        assert "write user devices_a with a new password into dev-device-db-secrets" in script(
            "--dry-run"
        )
        assert (
            psql(
                port,
                MASTER["username"],
                MASTER["password"],
                "postgres",
                "select count(*) from pg_database where datname = 'devices'",
            ).stdout.strip()
            == "0"
        )

        script()
        first = {database: known(database) for database in SECRETS}
        expected = {
            database: {"host": "dev.example.com", "name": database, "user": f"{database}_a"}
            for database in SECRETS
        }
        assert {database: {**it, "password": "…"} for database, it in first.items()} == {
            database: {**it, "password": "…"} for database, it in expected.items()
        }
        assert all(works(known(database)) for database in SECRETS)
        assert not works(known("devices"), into="reminders"), "the databases are apart"
        assert works(known("devices"), "create table mine ()")

        script()
        assert {database: known(database) for database in SECRETS} == first, (
            "a second run changes nothing"
        )

        script("--rotate")
        assert all(
            known(database)["user"] == f"{database}_b" and works(known(database))
            for database in SECRETS
        )
        assert works(known("devices"), "alter table mine add column x int"), (
            "what the one user made is the other's"
        )
        assert all(works(it) for it in first.values()), (
            "what runs keeps its user until it is retired"
        )
        script("--retire")
        assert not any(works(it) for it in first.values()) and all(
            works(known(database)) for database in SECRETS
        )

        rotated = known("devices")
        script(address="restored.example.com")
        assert known("devices") == {**rotated, "host": "restored.example.com"}, (
            "a restored instance is told, with the password as it was"
        )
        script("--rotate", address="restored.example.com")
        assert known("devices")["user"] == "devices_a" and works(known("devices")), (
            "and back to the first user"
        )

        passwords = [it["password"] for it in [*first.values(), rotated, *map(known, SECRETS)]]
        assert not any(password in log.read_text() for password in passwords), (
            "no password comes into the server's log"
        )
