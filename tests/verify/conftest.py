"""Shared by all checks: the folder of the project, the pinned tools, and the rendered overlays.

`make verify` installs the tools (tests/verify/requirements.txt, package.json) into .verify and runs
this folder. The tests of a missing tool fail.
"""

import functools
import pathlib
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".verify"

# Overlay -> the prefix on every object of it.
ENVIRONMENTS = {"development": "dev", "staging": "stg", "production": "prod"}
SERVICES = ["reminder-service", "event-service", "notification-scheduler", "notification-service"]


def tool(name):
    """Returns the path of a pinned tool."""
    for folder in (TOOLS / "venv" / "bin", TOOLS / "node_modules" / ".bin"):
        if (folder / name).exists():
            return str(folder / name)
    raise FileNotFoundError(f"{name} is not in .verify; run `make verify`, which installs it")


def run(*command, cwd=ROOT, **options):
    """Runs a command and returns its output. Fails with the whole output."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, capture_output=True, **options
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def rendered_text(folder):
    """Renders a folder (relative to the project) with `kubectl kustomize`, as text."""
    return run(tool("kubectl"), "kustomize", ROOT / folder)


def rendered(folder):
    """Renders a folder with `kubectl kustomize`. Returns a new copy of the objects each time."""
    return [item for item in yaml.load_all(rendered_text(folder), Loader=yaml.CSafeLoader) if item]


@pytest.fixture(params=sorted(ENVIRONMENTS))
def environment(request):
    """Name of each environment."""
    return request.param
