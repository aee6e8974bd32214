"""A throw-away PostgreSQL with the real schemas of the suite, and the scripts that back it up and
restore it.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import tempfile
import uuid

from conftest import ROOT, TOOLS, run

# Without Debian's wrapper, which takes longer than most of these programs.
PROGRAMS = max(
    pathlib.Path("/usr/lib/postgresql").glob("*/bin"),
    key=lambda folder: int(folder.parent.name),
    default=pathlib.Path("/usr/bin"),
)

# The database's name in the scripts -> whose migrations make it.
OWNERS = {
    "reminder": "reminder-service",
    "notification": "event-service",
    "device": "notification-service",
}


@dataclasses.dataclass
class Cluster:
    """A running server, with a template of each of the three databases."""

    port: int

    def sql(self, database, *statements):
        """Runs statements and returns what they answer, fields between bars."""
        arguments = [part for statement in statements for part in ("-c", statement)]
        return run(
            PROGRAMS / "psql",
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            f"postgresql://drill@127.0.0.1:{self.port}/{database}",
            *arguments,
        ).strip()

    def make_templates(self):
        """Creates the templates with the migrated schemas."""
        for name, owner in OWNERS.items():
            self.sql("postgres", f"create database template_{name}")
            migrations = sorted((ROOT / owner / "migrations").glob("*.sql"))
            assert migrations
            files = [part for migration in migrations for part in ("-f", migration)]
            run(
                PROGRAMS / "psql",
                "-Xq",
                "-v",
                "ON_ERROR_STOP=1",
                f"postgresql://drill@127.0.0.1:{self.port}/template_{name}",
                *files,
            )
            self.sql(
                f"template_{name}",
                "create table _sqlx_migrations (version bigint primary key, success boolean not null)",
                f"insert into _sqlx_migrations select version, true from generate_series(1, {len(migrations)}) as version",
            )


@contextlib.contextmanager
def cluster():
    """Starts a server and stops it at the end."""
    parent = pathlib.Path(tempfile.mkdtemp(prefix="backup-test-"))
    parent.chmod(0o755)  # PostgreSQL's account goes through it
    folder = parent / "postgres"
    try:
        started = Cluster(int(run("scripts/restore-cluster.sh", "start", folder)))
        started.make_templates()
        yield started
    finally:
        run("scripts/restore-cluster.sh", "stop", folder)
        shutil.rmtree(parent)


def reminder_service():
    """Returns the program of reminder-service, if it is built and has the command that
    restore-reconcile.sh runs.
    """
    for profile in ("debug", "release"):
        program = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / profile / "reminder-service"
        if program.exists():
            command = [program, "republish", "--help"]
            if subprocess.run(command, capture_output=True).returncode == 0:
                return program
    return None


class TestedDatabases:
    """The three databases of one test, and the scripts on them."""

    def __init__(self, server, folder, template=True):
        self.server, self.folder, self.store = server, folder, folder / "store"
        suffix = uuid.uuid4().hex[:12]
        self.names = {name: f"{name}_{suffix}" for name in OWNERS}
        for name, database in self.names.items():
            server.sql(
                "postgres",
                f"create database {database}" + (f" template template_{name}" if template else ""),
            )

    def empty(self):
        """Creates other, empty databases on the same server."""
        other = TestedDatabases(self.server, self.folder, template=False)
        return other

    def sql(self, name, *statements):
        """Statements on one of the three."""
        return self.server.sql(self.names[name], *statements)

    def environment(self, **more):
        """Variables of the scripts."""
        told = {
            "PATH": f"{PROGRAMS}:{TOOLS / 'venv' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
        }
        for name, database in self.names.items():
            host = {
                "HOST": "127.0.0.1",
                "PORT": str(self.server.port),
                "USER": "drill",
                "NAME": database,
            }
            told |= {f"{name.upper()}_DB_{key}": value for key, value in host.items()}
        return told | more

    def script(self, script, *arguments, **environment):
        """Runs a script. Returns exit code, output and errors."""
        command = [str(ROOT / "scripts" / script), *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment(**environment), text=True, capture_output=True, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    def back_up(self):
        """Creates a backup in the store. Returns its folder."""
        code, output, errors = self.script("backup.sh", "--to", self.store)
        assert code == 0, output + errors
        return max(self.store.iterdir())

    def restore(self, *arguments):
        """Restores the newest backup of the store."""
        return self.script("restore.sh", "--from", self.store, *arguments)

    def reconcile(self, *arguments, **environment):
        """Reconciles the three databases."""
        return self.script("restore-reconcile.sh", "--verbose", *arguments, **environment)
