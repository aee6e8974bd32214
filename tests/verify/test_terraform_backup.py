"""State machine of the backup in MiniStack's Step Functions: snapshots by its RDS, scripted
exports, which it lacks.
"""

import json
import time
from datetime import datetime, timedelta, timezone

import pytest
from terraform_tools import INFRA, MiniStack

DATABASE = "prod-reminders"
NOW = datetime.now(timezone.utc)


def snapshot(days_old):
    """Returns a scheduled snapshot that is several days old."""
    taken = NOW - timedelta(days=days_old)
    return {
        "DbSnapshotIdentifier": taken.strftime(f"{DATABASE}-%Y-%m-%d-0000"),
        "SnapshotCreateTime": taken.strftime("%Y-%m-%dT00:00:05Z"),
    }


OLD, RECENT = [snapshot(400), snapshot(9)], [snapshot(6)]
# Not the schedule's: what a destroyed database left, and what somebody took by hand.
OTHERS = [
    {**snapshot(400), "DbSnapshotIdentifier": f"{DATABASE}-{suffix}"}
    for suffix in ("final-1", "before-migration")
]

DONE = {"Return": {"ExportTasks": [{"Status": "COMPLETE"}]}}
BUSY = {"Return": {"ExportTasks": [{"Status": "IN_PROGRESS"}]}}
BROKEN = {"Return": {"ExportTasks": [{"Status": "FAILED", "FailureCause": "the key was disabled"}]}}
AGED = {"Return": {"DbSnapshots": OLD + RECENT + OTHERS}}
TAKEN = {"Return": {}}


def seen(status):
    return {
        "Return": {
            "DbSnapshots": [
                {"Status": status, "DbSnapshotArn": "arn:aws:rds:us-east-1:000000000000:snapshot:x"}
            ]
        }
    }


def thrown(error):
    return {"Throw": {"Error": error, "Cause": "as told"}}


# What RDS answers, by run and state; what is not named here is asked of MiniStack's RDS.
RUNS = {
    "succeeds": {
        "Start the export": [{"Return": {}}],
        "Look at the export": [BUSY, BUSY, DONE],
        "Find old snapshots": [AGED],
    },
    "is repeated": {
        "Take a snapshot": [thrown("Rds.DbSnapshotAlreadyExistsException")],
        "Look at the snapshot": [seen("creating"), seen("available")],
        "Start the export": [thrown("Rds.ExportTaskAlreadyExistsException")],
        "Look at the export": [DONE],
        "Find old snapshots": [{"Return": {"DbSnapshots": []}}],
    },
    "meets a busy instance": {"Take a snapshot": [thrown("Rds.InvalidDbInstanceStateException")]},
    "gets no snapshot": {"Take a snapshot": [TAKEN], "Look at the snapshot": [seen("failed")]},
    "gets no export": {
        "Take a snapshot": [TAKEN],
        "Look at the snapshot": [seen("available")],
        "Start the export": [{"Return": {}}],
        "Look at the export": [BUSY, BROKEN],
    },
}


def script():
    """Returns the runs in the format of the mock configuration of Step Functions Local; the last
    answer of a state is repeated.
    """
    cases = {
        run.replace(" ", "_"): {state: f"{run} {state}" for state in states}
        for run, states in RUNS.items()
    }
    answers = {
        f"{run} {state}": {
            (str(place) if place + 1 < len(said) else f"{place}-999"): answer
            for place, answer in enumerate(said)
        }
        for run, states in RUNS.items()
        for state, said in states.items()
    }
    return {"StateMachines": {"backup": {"TestCases": cases}}, "MockedResponses": answers}


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ministack")
    (folder / "script.json").write_text(json.dumps(script()))
    with MiniStack(
        folder,
        SERVICES="stepfunctions,rds,iam,sts",
        SFN_MOCK_CONFIG=str(folder / "script.json"),
        SFN_WAIT_SCALE="0",
    ) as aws:
        yield aws


def definition():
    """Returns the definition as templatefile() renders it."""
    text = (INFRA / "terraform/modules/backup/backup.asl.json").read_text()
    values = {
        "database": DATABASE,
        "bucket": "bucket",
        "export_role_arn": "arn:aws:iam::000000000000:role/export",
        "kms_key_arn": "arn:aws:kms:us-east-1:000000000000:key/1",
        "keep_days": "7",
        "environment_of_tags": "prod",
    }
    for name, value in values.items():
        text = text.replace("${" + name + "}", value)
    assert "${" not in text
    return text


def test_runs_backup_from_snapshot_to_purge(aws):
    rds, states = aws.client("rds"), aws.client("stepfunctions")
    rds.create_db_instance(
        DBInstanceIdentifier=DATABASE,
        Engine="postgres",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=20,
        MasterUsername="postgres",
        MasterUserPassword="not-a-secret",
    )
    for it in OLD + RECENT + OTHERS:
        rds.create_db_snapshot(
            DBInstanceIdentifier=DATABASE, DBSnapshotIdentifier=it["DbSnapshotIdentifier"]
        )
    machine = states.create_state_machine(
        name="backup", definition=definition(), roleArn="arn:aws:iam::000000000000:role/backup"
    )["stateMachineArn"]
    ended = {run: execution(states, machine, run) for run in RUNS}

    assert ended["succeeds"]["status"] == "SUCCEEDED", ended["succeeds"]
    taken = ended["succeeds"]["startDate"].strftime(f"{DATABASE}-%Y-%m-%d-%H%M")
    assert json.loads(ended["succeeds"]["output"]) == {"export": f"s3://bucket/{DATABASE}/{taken}"}
    there = {
        it["DBSnapshotIdentifier"]
        for it in rds.describe_db_snapshots(DBInstanceIdentifier=DATABASE, SnapshotType="manual")[
            "DBSnapshots"
        ]
    }
    kept = {it["DbSnapshotIdentifier"] for it in RECENT + OTHERS}
    assert there == {taken, *kept}, (
        "a new snapshot, the old ones of the schedule gone, others left alone"
    )

    assert ended["is repeated"]["status"] == "SUCCEEDED", (
        "a second run in the same minute goes on with the first one's"
    )
    failures = {
        run: (it["status"], it.get("error"))
        for run, it in ended.items()
        if it["status"] != "SUCCEEDED"
    }
    assert failures == {
        "meets a busy instance": ("FAILED", "Rds.InvalidDbInstanceStateException"),
        "gets no snapshot": ("FAILED", "SnapshotFailed"),
        "gets no export": ("FAILED", "ExportFailed"),
    }
    assert "the key was disabled" in ended["gets no export"]["cause"]


def execution(states, machine, run):
    """Runs the state machine to its end."""
    started = states.start_execution(
        stateMachineArn=f"{machine}#{run.replace(' ', '_')}", input="{}"
    )["executionArn"]
    for _ in range(300):
        ended = states.describe_execution(executionArn=started)
        if ended["status"] != "RUNNING":
            return ended
        time.sleep(0.05)
    raise AssertionError(f"{run}: still running")
