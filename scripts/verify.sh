#!/usr/bin/env bash
# Runs the checks of everything that is not Rust: manifests, infrastructure, pipeline, Dockerfile,
# rules, scripts (tests/verify). Installs its pinned tools into .verify, and lists what else it
# installs. `make verify` calls this script; its arguments go to pytest (-k kubernetes).
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/packages.sh
source scripts/packages.sh

command -v python3 >/dev/null || missing+=(python3 python3-venv)
command -v npm >/dev/null || missing+=(npm)
has_postgres || missing+=(postgresql)
command -v skopeo >/dev/null || missing+=(skopeo)
command -v jq >/dev/null || missing+=(jq)
[ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"

export PATH="$PWD/.verify/bin:$PATH"
command -v promtool >/dev/null || apt_unpack prometheus /usr/bin/promtool .verify/bin

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

# In an environment of its own, because it needs another version of botocore than the tools above.
if ! cmp -s tests/requirements.txt .venv/requirements.txt; then
    say "installing $(tr '\n' ' ' < tests/requirements.txt)into .venv"
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
    cp tests/requirements.txt .venv/requirements.txt
fi

exec .verify/venv/bin/pytest tests/verify -q -n auto --dist worksteal --durations=5 -rs "$@"
