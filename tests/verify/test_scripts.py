"""Linters of shell scripts and YAML."""

from conftest import ROOT, run, tool


def test_shell_scripts_have_no_findings():
    scripts = run("git", "ls-files", "*.sh", ".ci/run").split()
    assert scripts
    run(tool("shellcheck"), "--severity=style", *[ROOT / script for script in scripts])


def test_yaml_is_tidy():
    files = run("git", "ls-files", "*.yaml", "*.yml").split()
    if files:
        run(
            tool("yamllint"),
            "--strict",
            "--config-file",
            ROOT / "tests/verify/yamllint.yaml",
            *[ROOT / file for file in files],
        )
