#!/usr/bin/env bash
# Verifies what is not Rust: manifests, infrastructure, pipeline, Dockerfile, rules, scripts (tests/verify). Installs its pinned
# tools into .verify first. `make verify` calls it; arguments go to pytest (-k kubernetes).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m%s\033[0m\n' "$*"; }
fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }

apt_install() {
    command -v apt-get >/dev/null || fail "Missing: $*. Install it with this system's package manager and run again."
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    say "installing $*"
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

command -v python3 >/dev/null || apt_install python3 python3-venv
command -v npm >/dev/null || apt_install npm
command -v promtool >/dev/null || apt_install prometheus
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || apt_install postgresql
command -v skopeo >/dev/null || apt_install skopeo
command -v jq >/dev/null || apt_install jq

mkdir -p .verify
if ! cmp -s tests/verify/requirements.txt .verify/requirements.txt; then
    say 'installing the tools of tests/verify/requirements.txt into .verify/venv'
    python3 -m venv .verify/venv || { apt_install python3-venv; python3 -m venv .verify/venv; }
    .verify/venv/bin/pip install --quiet --disable-pip-version-check -r tests/verify/requirements.txt
    cp tests/verify/requirements.txt .verify/requirements.txt
fi
if ! cmp -s tests/verify/package.json .verify/package.json; then
    say 'installing the tools of tests/verify/package.json into .verify/node_modules'
    cp tests/verify/package.json .verify/package.json.new
    (cd .verify && mv package.json.new package.json && npm install --silent --no-audit --no-fund) || { rm -f .verify/package.json; fail 'npm could not install tests/verify/package.json'; }
fi

# MiniStack needs another botocore than the tools above.
if ! cmp -s tests/requirements.txt .venv/requirements.txt; then
    say "installing $(tr '\n' ' ' < tests/requirements.txt)into .venv"
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt .venv/requirements.txt
fi

exec .verify/venv/bin/pytest tests/verify -q -n auto --dist worksteal --durations=5 -rs "$@"
