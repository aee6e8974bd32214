"""What is linked keeps deny.toml's rules: licences, banned crates, sources. CI runs cargo-deny itself, which knows advisories too."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest

from conftest import ROOT, run

POLICY = tomllib.loads((ROOT / "deny.toml").read_text())


@pytest.fixture(scope="module")
def packages():
    """What cargo would build, tests included, for what is shipped."""
    target = POLICY["graph"]["targets"][0]
    return json.loads(run("cargo", "metadata", "--locked", "--all-features", "--format-version", "1", "--filter-platform", target))["packages"]


def permits(expression, allowed):
    """Whether an SPDX expression can be satisfied by the allowed licences: `/` is the older OR; WITH belongs to its licence."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def either():
        known = both()
        while words and words[0] == "OR":
            words.pop(0)
            known = both() or known
        return known

    def both():
        known = one()
        while words and words[0] == "AND":
            words.pop(0)
            known = one() and known
        return known

    def one():
        word = words.pop(0)
        if word == "(":
            known = either()
            assert words.pop(0) == ")"
            return known
        if words and words[0] == "WITH":
            word = f"{word} WITH {(words.pop(0), words.pop(0))[1]}"
        return word in allowed

    known = either()
    assert not words, f"not an SPDX expression: {expression}"
    return known


def licence_faults(packages, policy):
    allowed = set(policy["licenses"]["allow"])
    own = {item["crate"]: set(item["allow"]) for item in policy["licenses"]["exceptions"]}
    return [
        f"{package['name']}: {package['license']}"
        for package in packages
        if not permits(package["license"] or "none", allowed | own.get(package["name"], set()))
    ]


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("MIT/Apache-2.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
    ],
)
def test_expressions_are_understood(expression, answer):
    assert permits(expression, {"MIT", "Apache-2.0"}) is answer


def test_licences_are_allowed(packages):
    assert len(packages) > 300
    assert licence_faults(packages, POLICY) == []


def test_a_licence_that_is_not_allowed_is_found(packages):
    stricter = {"licenses": {**POLICY["licenses"], "allow": [name for name in POLICY["licenses"]["allow"] if name != "ISC"], "exceptions": []}}
    found = " ".join(licence_faults(packages, stricter))
    assert "untrusted: ISC" in found and "pgmq: PostgreSQL" in found


def test_banned_crates_are_not_linked(packages):
    banned = {item["crate"] for item in POLICY["bans"]["deny"]}
    assert banned & {package["name"] for package in packages} == set()


def test_every_crate_comes_from_the_registry_or_from_here(packages):
    allowed = {f"registry+{index}" for index in POLICY["sources"]["allow-registry"]}
    assert {package["source"] for package in packages} - allowed == {None}


def test_cargo_deny_agrees():
    """Where it is installed; it takes minutes to compile, so that nothing here installs it."""
    if not shutil.which("cargo-deny"):
        pytest.skip("cargo-deny is not installed; CI runs it (.github/workflows/check.yml)")
    done = subprocess.run(["cargo", "deny", "check", "licenses", "bans", "sources"], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
