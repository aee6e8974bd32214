"""Test of backup.sh and restore.sh on a real PostgreSQL: a backup can be restored, and unsafe
operations are refused.
"""

import json
import os
import subprocess

import pytest

from backup_databases import OWNERS, PROGRAMS, TestedDatabases, cluster
from conftest import ROOT, run


@pytest.fixture(scope="session")
def server():
    with cluster() as started:
        yield started


@pytest.fixture
def suite_databases(server, tmp_path):
    suite_databases = TestedDatabases(server, tmp_path)
    suite_databases.sql(
        "reminder",
        f"insert into idempotency_keys (user_id, key, request_hash) select 'it''s|é\t' || n, n, '' from generate_series(1, 300) as n",
    )
    suite_databases.sql(
        "notification",
        "select create_events_partition('2026-01-05T00:00Z')",
        "insert into events (occurred_at, event_id, event_type, item_id, user_id, version, data, received_xid)"
        " select '2026-01-06T00:00Z', gen_random_uuid(), 'reminder:created', n, 'ada', 1, '{}', 9000000000 from generate_series(1, 200) as n",
    )
    suite_databases.sql(
        "device",
        "insert into suppressed_addresses (address_hash, reason) values ('\\x00ff', 'bounce')",
    )
    return suite_databases


def contents(suite_databases, name):
    tables = suite_databases.sql(
        name,
        "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1",
    ).split()
    hidden = " - 'received_xid'"
    return {
        table: suite_databases.sql(
            name,
            f"select md5(string_agg((to_jsonb(it){hidden})::text, ',' order by to_jsonb(it)::text)) from {table} as it",
        )
        for table in tables
    }


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_restores_backup_completely(suite_databases, jobs):
    code, output, errors = suite_databases.script(
        "backup.sh", "--to", suite_databases.store, BACKUP_JOBS=jobs
    )
    assert code == 0, output + errors
    other = suite_databases.empty()
    code, output, errors = other.restore()
    assert code == 0, output + errors
    for name in OWNERS:
        assert contents(other, name) == contents(suite_databases, name), name


def test_writes_times_versions_and_rows(suite_databases):
    folder = suite_databases.back_up()
    told = json.loads((folder / "manifest.json").read_text())["databases"]
    assert told["reminder"]["rows"]["public.idempotency_keys"] == 300
    assert told["notification"]["rows"]["public.events_20260105"] == 200
    for name, owner in OWNERS.items():
        assert told[name]["schemaVersion"] == len(list((ROOT / owner / "migrations").glob("*.sql")))
        assert told[name]["serverVersion"]
    # The notifications database first: restore-reconcile.sh relies on it.
    assert told["notification"]["snapshotAt"] < min(
        told["reminder"]["snapshotAt"], told["device"]["snapshotAt"]
    )


def test_writes_backup_for_owner_only(suite_databases):
    folder = suite_databases.back_up()
    assert [path for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []
    assert list(suite_databases.store.iterdir()) == [folder]


def test_dumps_snapshots_only(suite_databases):
    """Transactions that commit after the snapshots are in no dump, however late the dump begins."""
    slow = suite_databases.folder / "bin"
    slow.mkdir()
    (slow / "pg_dump").write_text(f"""#!/bin/bash
if [ "$1" != --version ]; then
    psql -Xq -c "delete from idempotency_keys" "postgresql://drill@127.0.0.1:{suite_databases.server.port}/{suite_databases.names['reminder']}"
fi
exec {PROGRAMS}/pg_dump "$@"
""")
    (slow / "pg_dump").chmod(0o755)
    path = f"{slow}:{PROGRAMS}:{os.environ['PATH']}"
    code, output, errors = suite_databases.script(
        "backup.sh", "--to", suite_databases.store, PATH=path
    )
    assert code == 0, output + errors
    assert suite_databases.sql("reminder", "select count(*) from idempotency_keys") == "0"
    other = suite_databases.empty()
    assert other.restore()[0] == 0
    assert other.sql("reminder", "select count(*) from idempotency_keys") == "300"


def is_untouched(suite_databases):
    return all(
        suite_databases.sql(
            name, "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        )
        == "0"
        for name in OWNERS
    )


@pytest.mark.parametrize("file", ["reminder.dump", "manifest.json", "SHA256SUMS"])
def test_refuses_manipulated_backup(suite_databases, file):
    path = suite_databases.back_up() / file
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    other = suite_databases.empty()
    code, _, errors = other.restore()
    assert code != 0 and ("not what was backed up" in errors or "not in SHA256SUMS" in errors), (
        errors
    )
    assert is_untouched(other)


def test_refuses_backup_with_extra_file(suite_databases):
    (suite_databases.back_up() / "extra.dump").write_text("no")
    other = suite_databases.empty()
    code, _, errors = other.restore()
    assert code != 0 and "not in SHA256SUMS: extra.dump" in errors
    assert is_untouched(other)


def test_refuses_database_that_is_not_empty(suite_databases):
    suite_databases.back_up()
    other = suite_databases.empty()
    other.sql("notification", "create table precious (id int)")
    code, _, errors = other.restore("--empty", other.names["reminder"])
    assert code != 0 and f"--empty {other.names['notification']}" in errors
    assert (
        other.sql(
            "device", "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        )
        == "0"
    )
    code, output, errors = other.restore("--empty", other.names["notification"])
    assert code == 0, output + errors
    assert other.sql("notification", "select to_regclass('precious') is null") == "t"


def test_refuses_restore_under_running_services(suite_databases):
    suite_databases.back_up()
    other = suite_databases.empty()
    url = f"postgresql://drill@127.0.0.1:{suite_databases.server.port}/{other.names['device']}?application_name=notification-service"
    with subprocess.Popen(
        [PROGRAMS / "psql", "-XqAt", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as service:
        service.stdin.write("select 'connected';\n")
        service.stdin.flush()
        assert service.stdout.readline() == "connected\n"
        code, _, errors = other.restore()
        service.stdin.close()
    assert code != 0 and "notification-service is connected" in errors
    assert is_untouched(other)


def test_accepts_events_of_another_server(suite_databases):
    suite_databases.back_up()
    other = suite_databases.empty()
    assert other.restore()[0] == 0
    ahead = "select count(*) from events where received_xid >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    assert suite_databases.sql("notification", ahead) == "200"
    assert other.sql("notification", ahead) == "0"


def test_removes_failed_backup_and_reports_why(suite_databases):
    code, _, errors = suite_databases.script(
        "backup.sh", "--to", suite_databases.store, DEVICE_DB_NAME="not_there"
    )
    assert code != 0 and "the device database" in errors
    assert list(suite_databases.store.iterdir()) == []


def test_names_missing_configuration(suite_databases):
    code, _, errors = suite_databases.script(
        "backup.sh", "--to", suite_databases.store, DEVICE_DB_HOST=""
    )
    assert code != 0 and "DEVICE_DB_HOST is not set" in errors


def test_restores_single_database(suite_databases):
    suite_databases.back_up()
    other = suite_databases.empty()
    code, output, errors = other.restore("--only", "device")
    assert code == 0, output + errors
    assert other.sql("device", "select count(*) from suppressed_addresses") == "1"
    assert (
        other.sql(
            "reminder", "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        )
        == "0"
    )


@pytest.mark.parametrize(
    "script",
    [
        "backup.sh",
        "restore.sh",
        "restore-reconcile.sh",
        "restore-cluster.sh",
        "restore-drill.sh",
        "restore-job.sh",
    ],
)
def test_prints_usage_of_each_script(script):
    assert script in run(ROOT / "scripts" / script, "--help")
