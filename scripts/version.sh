#!/usr/bin/env bash
# Prints the version of a commit, with which its images are tagged before the environment's suffix.
#
#   scripts/version.sh [COMMIT]              2.0.0 if the commit carries the tag v2.0.0, else 2.0.0-g and 12 digits of the commit
#   scripts/version.sh --commit VERSION      the other way round: the commit that a version was built from
#   scripts/version.sh --prefix ENVIRONMENT  what stands behind it in that environment's tags
#
# The number is Cargo.toml's. It needs the repository's tags (in CI: a checkout with fetch-depth 0).
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"

case ${1:-} in
    -h | --help) usage; exit ;;
    --commit)
        check_version "${2:?a version}"
        if [[ $2 =~ -g([0-9a-f]{12})$ ]]; then ref=${BASH_REMATCH[1]}; else ref=v$2; fi
        git rev-parse --verify --quiet "$ref^{commit}" || fail "This repository has no $ref. Fetch it (git fetch --tags origin), or give the manifests yourself."
        exit
        ;;
    --prefix) prefix_of "${2:?an environment}"; exit ;;
esac

commit=$(git rev-parse --verify --quiet "${1:-HEAD}^{commit}") || fail "No such commit: ${1:-HEAD}."
number=$(git show "$commit:Cargo.toml" | awk '/^\[/ {section = $0} section == "[workspace.package]" && $1 == "version" {gsub(/"/, "", $3); print $3}')
[ -n "$number" ] || fail "Cargo.toml of $commit has no version in [workspace.package]."
if git tag --points-at "$commit" | grep -qxF "v$number"; then
    printf '%s\n' "$number"
else
    printf '%s-g%s\n' "$number" "$(git rev-parse --short=12 "$commit" | cut -c1-12)"
fi
