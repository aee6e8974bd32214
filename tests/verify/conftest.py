"""What every verification needs: where the project is, the pinned tools, and the rendered overlays.

`make verify` installs the tools (tests/verify/requirements.txt, package.json) into .verify and runs this folder; a tool
that is missing fails its tests.
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
    """The path of a pinned tool."""
    for folder in (TOOLS / "venv" / "bin", TOOLS / "node_modules" / ".bin"):
        if (folder / name).exists():
            return str(folder / name)
    raise FileNotFoundError(f"{name} is not in .verify; run `make verify`, which installs it")


def run(*command, cwd=ROOT, **options):
    """Runs a command and returns its output; fails with everything it said."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, capture_output=True, **options
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def rendered_text(folder):
    """What `kubectl kustomize` makes of a folder (relative to the project), as text."""
    return run(tool("kubectl"), "kustomize", ROOT / folder)


def rendered(folder):
    """The objects `kubectl kustomize` makes of a folder; a new copy each time."""
    return [item for item in yaml.load_all(rendered_text(folder), Loader=yaml.CSafeLoader) if item]


@pytest.fixture(params=sorted(ENVIRONMENTS))
def environment(request):
    """Each environment's name in turn."""
    return request.param
