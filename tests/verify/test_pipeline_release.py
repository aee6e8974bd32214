"""Test of scripts/release.sh: Cargo.toml, Cargo.lock, CHANGELOG.md and the tag agree, and the
release notes are the section of the changelog.
"""

import os
import re
import subprocess

import pytest

from conftest import ROOT

LOCK = """version = 4

[[package]]
name = "event-service"
version = "{ours}"
dependencies = ["tokio"]

[[package]]
name = "tokio"
version = "1.48.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
"""


@pytest.fixture
def project(tmp_path):
    """A workspace between releases, before 2.1.0."""

    def write(version="2.1.0", heading="Unreleased (2.1.0)", lines="\n- Faster.\n", locked=None):
        (tmp_path / "Cargo.toml").write_text(
            f'[workspace]\nmembers = []\n\n[workspace.package]\nversion = "{version}"\n\n[workspace.dependencies]\ntokio = {{ version = "1.48" }}\n'
        )
        (tmp_path / "Cargo.lock").write_text(LOCK.format(ours=locked or version))
        (tmp_path / "CHANGELOG.md").write_text(
            f"# Changelog\n\n## {heading}\n{lines}\n## 2.0.0 (2026-01-31)\n\nThe first.\n"
        )
        return tmp_path

    return write


def release(project, *arguments):
    return subprocess.run(
        [ROOT / "scripts/release.sh", *arguments],
        env={"PATH": "/usr/bin:/bin", "PROJECT": str(project)},
        text=True,
        capture_output=True,
    )


def test_accepts_versions_of_this_project():
    done = subprocess.run([ROOT / "scripts/release.sh", "check"], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("state", "tag", "said"),
    [
        ({}, None, ""),
        ({"heading": "2.1.0 (2026-02-28)"}, "v2.1.0", ""),
        ({"heading": "2.1.0 (2026-02-28)"}, None, ""),
        ({}, "v2.1.0", "still unreleased"),
        ({"heading": "2.1.0 (2026-02-28)"}, "v2.1.1", "the tag must be v2.1.0"),
        ({"heading": "2.1.0 (2026-02-28)"}, "2.1.0", "the tag must be v2.1.0"),
        ({"heading": "Unreleased (2.2.0)"}, None, "of 2.2.0, Cargo.toml says 2.1.0"),
        ({"heading": "2.2.0 (2026-02-28)"}, None, "of 2.2.0, Cargo.toml says 2.1.0"),
        ({"heading": "Unreleased"}, None, 'heading is "Unreleased"'),
        ({"lines": "\n\n"}, None, "has no section for 2.1.0"),
        ({"locked": "2.0.0"}, None, "Cargo.lock contains event-service 2.0.0"),
    ],
)
def test_reports_disagreeing_versions(state, tag, said, project):
    done = release(project(**state), "check", *([tag] if tag else []))
    assert (done.returncode == 0) == (said == "") and said in done.stderr


def test_extracts_release_notes_from_changelog(project):
    folder = project(lines="\nA word.\n\n- Faster.\n- Smaller.\n")
    assert release(folder, "notes").stdout == "A word.\n\n- Faster.\n- Smaller.\n"
    assert release(folder, "notes", "v2.0.0").stdout == "The first.\n"
    assert release(folder, "notes", "1.0.0").returncode == 1


def test_prepares_release(project):
    folder = project()
    done = release(folder, "prepare", "2.1.0")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^## 2\.1\.0 \(\d{4}-\d{2}-\d{2}\)$", (folder / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert "## 2.0.0 (2026-01-31)" in (folder / "CHANGELOG.md").read_text()
    assert release(folder, "check", "v2.1.0").returncode == 0
    assert "git tag -a v2.1.0" in done.stdout
    assert release(folder, "prepare", "2.1.0").returncode == 1, "there is nothing more to release"


def test_changes_number_of_prepared_release(tmp_path):
    """For example if 2.1.0 becomes 3.0.0. cargo itself writes the lock file."""
    (tmp_path / "a").mkdir()
    (tmp_path / "Cargo.toml").write_text(
        '[workspace]\nmembers = ["a"]\nresolver = "3"\n\n[workspace.package]\nversion = "2.1.0"\nedition = "2024"\n'
    )
    (tmp_path / "a/Cargo.toml").write_text(
        '[package]\nname = "a"\nversion.workspace = true\nedition.workspace = true\n\n[lib]\npath = "lib.rs"\n'
    )
    (tmp_path / "a/lib.rs").write_text("")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased (2.1.0)\n\n- Anew.\n")
    subprocess.run(
        ["cargo", "generate-lockfile", "--offline"], cwd=tmp_path, check=True, capture_output=True
    )
    done = subprocess.run(
        [ROOT / "scripts/release.sh", "prepare", "3.0.0"],
        env=os.environ | {"PROJECT": str(tmp_path)},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert (
        'version = "3.0.0"' in (tmp_path / "Cargo.toml").read_text()
        and 'version = "3.0.0"' in (tmp_path / "Cargo.lock").read_text()
    )


@pytest.mark.parametrize("version", ["2.1", "2.1.0-g0123456789ab", "next"])
def test_refuses_release_without_number(version, project):
    assert release(project(), "prepare", version).returncode == 1
