"""The Terraform configuration: format, pinned providers, validity, tests of the modules, policy."""

import itertools
import json
import os
import re

import pytest
from conftest import ROOT, run, tool
from terraform_tools import INFRA, MODULES, PROVIDER, ROOTS, VERSION, terraform

TESTS = sorted(path.name for path in (INFRA / "terraform" / "tests").glob("*.tftest.hcl"))
# So many `terraform test` beside each other: each loads the provider, which is what takes the time.
SHARES = 2


def test_is_formatted(tmp_path):
    terraform("fmt", "-check", "-recursive", "-diff", cwd=INFRA, data=tmp_path)


def test_locks_one_provider_everywhere():
    locks = {
        path.parent.name: path.read_text()
        for path in INFRA.rglob(".terraform.lock.hcl")
        if ".terraform" not in path.parts
    }
    assert sorted(locks) == sorted([*ROOTS, "terraform"])
    assert len(set(locks.values())) == 1
    lock = locks["production"]
    assert f'provider "{PROVIDER}"' in lock and f'version     = "{VERSION}"' in lock
    assert len(re.findall('"zh:[0-9a-f]{64}"', lock)) >= 10, (
        "hashes of the release's packages for every platform"
    )


def test_keeps_provider_lock_file(tmp_path):
    said = terraform(
        "init",
        "-backend=false",
        "-lockfile=readonly",
        "-no-color",
        cwd=INFRA / "environments" / "production",
        data=tmp_path,
        mirror=True,
    )
    assert "successfully initialized" in said


def test_is_valid(tmp_path):
    """All roots, and with them all modules, in one run as parts of one configuration."""
    folder = tmp_path / "all"
    folder.mkdir()
    sources = {root: os.path.relpath(INFRA / "environments" / root, folder) for root in ROOTS}
    parts = [
        f'module "{root}" {{\n  source = "{source}"\n{required(root)}}}\n'
        for root, source in sources.items()
    ]
    (folder / "main.tf").write_text("\n".join(['variable "unknown" {}\n', *parts]))
    terraform("get", "-no-color", cwd=folder, data=tmp_path)
    said = json.loads(terraform("validate", "-json", cwd=folder, data=tmp_path))
    expected = ["Provider development overrides are in effect", "Backend configuration ignored"]
    problems = [it for it in said["diagnostics"] if it["summary"] not in expected]
    assert said["valid"] and not problems, problems


def required(root):
    """Returns an unknown value for each variable without a default."""
    text = (INFRA / "environments" / root / "variables.tf").read_text()
    blocks = re.findall(r'^variable "(\w+)" \{(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    return "".join(
        f"  {name} = var.unknown\n" for name, block in blocks if "\n  default" not in block
    )


@pytest.mark.parametrize("share", range(SHARES))
def test_passes_tests_of_modules(share, tmp_path):
    """infra/terraform/tests, with a mocked provider."""
    folder = INFRA / "terraform"
    terraform("get", "-no-color", cwd=folder, data=tmp_path)
    chosen = itertools.islice(TESTS, share, None, SHARES)
    said = terraform(
        "test",
        "-no-color",
        *[f"-filter=tests/{name}" for name in chosen],
        cwd=folder,
        data=tmp_path,
    )
    assert re.search(r"^Success! [1-9][0-9]* passed, 0 failed\.$", said, re.MULTILINE), said


def test_refuses_to_destroy_protected_resources(tmp_path):
    """Without a mock: it needs no provider but Terraform's own."""
    source = os.path.relpath(INFRA / "terraform/modules/protection", tmp_path)
    (tmp_path / "main.tf").write_text(f"""
        variable "protected" {{}}
        resource "terraform_data" "precious" {{}}
        module "protection" {{
          source     = "{source}"
          enabled    = var.protected
          about      = "The precious"
          depends_on = [terraform_data.precious]
        }}
    """)
    at = {"cwd": tmp_path, "data": tmp_path / "data"}
    terraform("init", "-no-color", **at)
    terraform("apply", "-auto-approve", **at, protected="true")
    with pytest.raises(AssertionError, match="The precious is protected"):
        terraform("destroy", "-auto-approve", "-no-color", **at, protected="false")
    assert "terraform_data.precious" in terraform("state", "list", **at), "nothing is gone"
    terraform("apply", "-auto-approve", **at, protected="false")
    terraform("destroy", "-auto-approve", **at, protected="false")


def test_uses_and_tests_every_module():
    configurations = "\n".join(path.read_text() for path in INFRA.rglob("*.tf"))
    promises = "\n".join((INFRA / "terraform" / "tests" / name).read_text() for name in TESTS)
    # What the environments' roots are made of, and what is tested above.
    elsewhere = ["environment", "protection"]
    for module in MODULES:
        assert re.search(
            rf'source\s+= "(\.\./|\.\./\.\./terraform/modules/){module}"', configurations
        ), f"nothing uses {module}"
        if module not in elsewhere:
            assert f'source = "./modules/{module}"' in promises, f"nothing tests {module}"


def test_describes_variables_and_outputs():
    for path in INFRA.rglob("*.tf"):
        for block in re.findall(
            r'^(?:variable|output) "\w+" \{.*?^\}', path.read_text(), re.MULTILINE | re.DOTALL
        ):
            assert re.search(r"^  description = ", block, re.MULTILINE), f"{path}: {block}"


@pytest.mark.parametrize("root", sorted(set(ROOTS) - {"local"}))
def test_examples_fit(root):
    """An example names every required variable, and no unknown one."""
    folder = INFRA / "environments" / root
    blocks = dict(
        re.findall(
            r'^variable "(\w+)" \{(.*?)^\}',
            (folder / "variables.tf").read_text(),
            re.MULTILINE | re.DOTALL,
        )
    )
    example = (folder / "terraform.tfvars.example").read_text()
    given = set(re.findall(r"^(\w+) +=", example, re.MULTILINE))
    assert given | set(re.findall(r"^# (\w+) +=", example, re.MULTILINE)) <= set(blocks)
    assert {name for name, block in blocks.items() if "\n  default" not in block} <= given
    assert f"reminders/{root}.tfstate" in (folder / "backend.hcl.example").read_text()


def test_template_uses_variables_of_every_email():
    """With a missing variable SES drops the e-mail without an error."""
    source = (ROOT / "notification-service/src/channels/email/stored_template.rs").read_text()
    known = set(
        re.findall(r'"(\w+)"', re.search(r"const VARIABLES: .*? =(.*?);", source, re.DOTALL)[0])
    )
    assert "message" in known
    for path in (INFRA / "terraform/modules/email/templates").iterdir():
        used = set(re.findall(r"\{\{(?:#if )?(\w+)\}\}", path.read_text()))
        assert used and used <= known, f"{path.name}: {used - known}"


def test_follows_policy():
    run(tool("checkov"), "--config-file", INFRA / "checkov.yaml")
