"""Test of restore-reconcile.sh: differences between three databases of different times are found,
named and repaired.
"""

import json
import re
import uuid

import pytest

from backup_databases import TestedDatabases, cluster, reminder_service

MISSING, BEHIND, AHEAD, GONE_AHEAD, SILENT, UNKNOWN, ALIKE, PAST = (
    str(uuid.UUID(int=(0x0190_0000_0000 << 80) | (7 << 76) | (2 << 62) | n)) for n in range(1, 9)
)


@pytest.fixture(scope="session")
def server():
    with cluster() as started:
        yield started


@pytest.fixture
def suite_databases(server, tmp_path):
    return TestedDatabases(server, tmp_path)


def reminder(suite_databases, id, version=1, due="now() + interval '1 day'", **columns):
    columns = {
        "time_zone": "'Europe/Berlin'",
        "channels": "'{email,push}'",
        "message": "'Water the plants'",
        "priority": "'high'",
    } | columns
    suite_databases.sql(
        "reminder",
        f"insert into reminders (id, user_id, version, date, last_at, notify_offsets, expires_after_minutes, {', '.join(columns)})"
        f" values ('{id}', 'ada', {version}, {due}, {due}, '{{0,10}}', 60, {', '.join(columns.values())})",
    )


def notification(suite_databases, id, version=1, state="active", item_id=None, waits=True):
    active = state == "active"
    suite_databases.sql(
        "notification",
        f"""insert into notifications (id, source, item_id, user_id, user_email, version, state, date, notify_offsets, content, occurred_at)
        values ('{id}', 'reminder', '{item_id or id.replace("-", "")}', 'ada', {"'ada@example.com'" if active else "null"}, {version}, '{state}',
            {"now(), '{0}', '{}'" if active else "null, null, null"}, now())""",
    )
    if active and waits:
        suite_databases.sql(
            "notification",
            f"insert into occurrences (id, notification_id, due_at, date, expires_at) select gen_random_uuid(), '{id}', at, at, at from (select now() + interval '1 day') as it (at)",
        )


def occurrence(suite_databases, number, state="released", **columns):
    id = str(uuid.UUID(int=number))
    columns = {
        "due_at": "now() - interval '1 minute'",
        "date": "now()",
        "expires_at": "now() + interval '1 hour'",
    } | columns
    suite_databases.sql(
        "notification",
        f"insert into occurrences (id, notification_id, state, released_at, {', '.join(columns)})"
        f" values ('{id}', '{ALIKE}', '{state}', now() - interval '1 minute', {', '.join(columns.values())})",
    )
    return id


def dispatch(suite_databases, id, *states):
    suite_databases.sql(
        "device",
        f"""insert into dispatches (occurrence_id, source, item_id, user_id, user_email, version, due_at, expires_at, payload, deliveries, received_at)
        values ('{id}', 'reminder', 'x', 'bob', 'bob@example.com', 1, now(), now(), '{{}}', {len(states)}, now() - interval '1 hour')""",
        *(
            f"""insert into deliveries (occurrence_id, channel, device_id, id, user_id, state, reason, finished_at)
            values ('{id}', 'push', gen_random_uuid(), gen_random_uuid(), 'bob', '{state}', {"'UNREGISTERED'" if state == "failed" else "null"},
                {"now() - interval '1 minute'" if state != "pending" else "null"})"""
            for state in states
        ),
    )


def told(suite_databases):
    rows = suite_databases.sql(
        "reminder", "select attributes || jsonb_build_object('body', body::jsonb) from outbox"
    ).splitlines()
    messages = [json.loads(row) for row in rows]
    return {message["body"]["itemId"]: message for message in messages}


def published(suite_databases, *arguments):
    """Repairs with the built reminder-service."""
    program = reminder_service()
    if not program:
        pytest.skip("reminder-service is not built: cargo build --bins")
    return suite_databases.reconcile("--repair", *arguments, REMINDER_SERVICE=str(program))


def counts(output):
    return [
        int(number)
        for number in re.findall(
            r"^ *(\d+)  (?:reminders|notifications|occurrences)", output, re.MULTILINE
        )
    ]


def test_reports_nothing_when_databases_agree(suite_databases):
    reminder(suite_databases, ALIKE)
    notification(suite_databases, ALIKE)
    # event-service purges old notifications; a predecessor's reminder has no row here.
    reminder(suite_databases, PAST, due="now() - interval '1 year'")
    notification(suite_databases, str(uuid.uuid4()), item_id="65f0c0ffee")
    code, output, errors = suite_databases.reconcile("--repair")
    assert (code, counts(output)) == (0, [0] * 7), output + errors
    assert told(suite_databases) == {}


def disagree(suite_databases):
    reminder(suite_databases, ALIKE)
    notification(suite_databases, ALIKE)
    reminder(
        suite_databases,
        MISSING,
        3,
        recurrence="""'{"rrule": "FREQ=DAILY", "exdates": [], "gap": "shift", "fold": "first"}'""",
        data="""'{"k": "v"}'""",
        url="'https://example.com/'",
        acknowledged="'2026-01-01T00:00Z'",
    )
    reminder(suite_databases, BEHIND, 4)
    notification(suite_databases, BEHIND, 3)
    reminder(suite_databases, AHEAD, 2)
    notification(suite_databases, AHEAD, 7)
    reminder(suite_databases, GONE_AHEAD, 2)
    notification(suite_databases, GONE_AHEAD, 3, "deleted")
    # A series that stands still.
    reminder(suite_databases, SILENT, 4)
    notification(suite_databases, SILENT, 4, waits=False)
    notification(suite_databases, UNKNOWN, 5)


def test_reports_differences_without_changes(suite_databases):
    disagree(suite_databases)
    code, output, errors = suite_databases.reconcile()
    assert (code, counts(output)) == (1, [1, 1, 2, 1, 1, 0, 0]), output + errors
    assert (
        all(id in output for id in (MISSING, BEHIND, AHEAD, GONE_AHEAD, SILENT, UNKNOWN))
        and ALIKE not in output
    )
    assert told(suite_databases) == {}


def recorder(folder):
    """Creates a program in place of reminder-service, which keeps what it is given."""
    program = folder / "recorder"
    program.write_text(
        """#!/bin/sh
printf '%s %s\\n' "$1" "$DB_NAME" >"$0.called"
cat "$2" >"$0.differences"
"""
    )
    program.chmod(0o755)
    return program


def test_passes_differences_to_reminder_service(suite_databases, tmp_path):
    disagree(suite_databases)
    program = recorder(tmp_path)
    code, output, errors = suite_databases.reconcile("--repair", REMINDER_SERVICE=str(program))
    assert code == 0, output + errors
    called = (tmp_path / "recorder.called").read_text().split()
    assert called == ["republish", suite_databases.names["reminder"]]
    differences = (tmp_path / "recorder.differences").read_text().splitlines()
    email = "ada@example.com"
    assert sorted(line.split("\t") for line in differences) == sorted(
        [
            ["missing", MISSING, "ada", email, "\\N"],
            ["behind", BEHIND, "ada", email, "3"],
            ["ahead", AHEAD, "ada", email, "7"],
            ["ahead", GONE_AHEAD, "ada", email, "3"],
            ["silent", SILENT, "ada", email, "4"],
            ["unknown", UNKNOWN, "ada", email, "5"],
        ]
    )


def test_fails_when_reminder_service_is_missing(suite_databases, tmp_path):
    disagree(suite_databases)
    code, _, errors = suite_databases.reconcile(
        "--repair", REMINDER_SERVICE=str(tmp_path / "missing")
    )
    assert code == 1 and "set REMINDER_SERVICE" in errors, errors


def test_publishes_same_events_as_reminder_service(suite_databases):
    disagree(suite_databases)
    code, output, errors = published(suite_databases)
    assert code == 0, output + errors
    messages = told(suite_databases)
    assert {
        item: (message["eventType"], message["version"]) for item, message in messages.items()
    } == {
        MISSING.replace("-", ""): ("reminder:updated", "3"),
        BEHIND.replace("-", ""): ("reminder:updated", "4"),
        AHEAD.replace("-", ""): ("reminder:updated", "8"),
        GONE_AHEAD.replace("-", ""): ("reminder:updated", "4"),
        SILENT.replace("-", ""): ("reminder:updated", "5"),
        UNKNOWN.replace("-", ""): ("reminder:deleted", "6"),
    }
    message = messages[MISSING.replace("-", "")]
    assert message.keys() == {
        "eventItemType",
        "eventType",
        "userId",
        "eventId",
        "occurredAt",
        "version",
        "schema",
        "body",
    }
    assert message["body"]["userEmail"] == "ada@example.com"
    data = message["body"]["eventData"]
    assert (
        data.pop("date").endswith("Z") and data.pop("acknowledged") == "2026-01-01T00:00:00Z"
    )
    assert data == {
        "notifyOffsets": [0, 10],
        "channels": ["email", "push"],
        "message": "Water the plants",
        "priority": "high",
        "timeZone": "Europe/Berlin",
        "expiresAfterMinutes": 60,
        "url": "https://example.com/",
        "data": {"k": "v"},
        "recurrence": {"rrule": "FREQ=DAILY", "exdates": [], "gap": "shift", "fold": "first"},
    }
    assert (
        suite_databases.sql("reminder", f"select version from reminders where id = '{AHEAD}'")
        == "8"
    )


def test_publishes_same_messages_when_repeated(suite_databases):
    disagree(suite_databases)
    published(suite_databases)
    before = told(suite_databases)
    published(suite_databases)
    assert {message["eventId"] for message in told(suite_databases).values()} >= {
        before[MISSING.replace("-", "")]["eventId"]
    }
    assert len(told(suite_databases)) == len(before)


def test_finds_address_or_reports_its_absence(suite_databases):
    dispatch(suite_databases, str(uuid.UUID(int=1)), "sent")
    for id, user in ((MISSING, "bob"), (BEHIND, "eve")):
        reminder(suite_databases, id)
        suite_databases.sql(
            "reminder", f"update reminders set user_id = '{user}' where id = '{id}'"
        )
    code, output, errors = published(suite_databases)
    assert code == 0 and re.search(
        r"^ *1  users of these whose e-mail address", output, re.MULTILINE
    ), output + errors
    assert told(suite_databases)[MISSING.replace("-", "")]["body"]["userEmail"] == "bob@example.com"
    assert told(suite_databases)[BEHIND.replace("-", "")]["body"]["userEmail"] is None


def test_repairs_occurrences_from_ledger(suite_databases):
    reminder(suite_databases, ALIKE)
    notification(suite_databases, ALIKE)
    lost, ended, open_, old = (occurrence(suite_databases, n) for n in (1, 2, 3, 4))
    # Due before the ledger's first row: it may have been sent and forgotten.
    suite_databases.sql(
        "notification",
        f"update occurrences set due_at = now() - interval '2 hours' where id = '{old}'",
    )
    dispatch(suite_databases, ended, "sent", "failed")
    dispatch(suite_databases, open_, "sent", "pending")
    code, output, errors = suite_databases.reconcile("--repair")
    assert (code, counts(output)) == (0, [0, 0, 0, 0, 0, 1, 1]), output + errors
    states = suite_databases.sql(
        "notification",
        "select id, state, sent, failed, deliveries from occurrences where released_at is not null or sent > 0 or due_at < now() order by id",
    ).splitlines()
    assert states == [
        f"{lost}|pending|0|0|0",
        f"{ended}|sent|1|1|2",
        f"{open_}|released|0|0|0",
        f"{old}|released|0|0|0",
    ]
    code, output, _ = suite_databases.reconcile()
    assert (code, counts(output)) == (0, [0] * 7)


def test_leaves_possible_deliveries_unchanged(suite_databases):
    reminder(suite_databases, ALIKE)
    notification(suite_databases, ALIKE)
    occurrence(suite_databases, 1)
    dispatch(suite_databases, occurrence(suite_databases, 2), "sent")
    code, output, _ = suite_databases.reconcile("--settled", "10")
    assert (code, counts(output)) == (0, [0] * 7)


def test_skips_deliveries_sent_before_loss(suite_databases):
    reminder(suite_databases, ALIKE)
    notification(suite_databases, ALIKE)
    passed = occurrence(suite_databases, 1, "pending", due_at="'2026-01-01T12:00:00Z'")
    ahead = occurrence(suite_databases, 2, "pending", due_at="'2026-01-01T12:00:01Z'")
    code, output, errors = suite_databases.reconcile(
        "--repair", "--sent-until", "2026-01-01T12:00:00Z"
    )
    assert code == 0 and re.search(r"^ *1  occurrences that were due by", output, re.MULTILINE), (
        output + errors
    )
    expired = suite_databases.sql(
        "notification",
        "select id, expires_at < now() from occurrences where due_at < now() order by id",
    ).splitlines()
    assert expired == [f"{passed}|t", f"{ahead}|f"]
    assert suite_databases.reconcile("--sent-until", "2026-01-01T12:00:00Z")[0] == 1
