"""Linters of shell scripts and YAML."""

from conftest import ROOT, run, tool


def test_shellcheck_reports_no_findings():
    scripts = run("git", "ls-files", "*.sh", ".ci/run").split()
    assert scripts
    run(tool("shellcheck"), "--severity=style", *[ROOT / script for script in scripts])


def test_yamllint_reports_no_findings():
    files = run("git", "ls-files", "*.yaml", "*.yml").split()
    if files:
        run(
            tool("yamllint"),
            "--strict",
            "--config-file",
            ROOT / "tests/verify/yamllint.yaml",
            *[ROOT / file for file in files],
        )
