#!/usr/bin/env bash
# Prints the version of a commit: its images have the tags VERSION-SUFFIX, with a suffix for each
# environment.
#
#   scripts/version.sh [COMMIT]              prints 2.0.0 if the commit has the tag v2.0.0, else 2.0.0-g and 12 digits of the commit
#   scripts/version.sh --commit VERSION      prints the commit that a version was built from
#   scripts/version.sh --prefix ENVIRONMENT  prints the suffix of an environment's image tags (the prefix of its names)
#
# The number comes from Cargo.toml. The repository's tags must be present (in CI: fetch-depth 0).
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"

case ${1:-} in
    -h | --help) usage; exit ;;
    --commit)
        check_version "${2:?a version}"
        if [[ $2 =~ -g([0-9a-f]{12})$ ]]; then ref=${BASH_REMATCH[1]}; else ref=v$2; fi
        git rev-parse --verify --quiet "$ref^{commit}" || fail "This repository has no $ref. Fetch it (git fetch --tags origin), or use the manifests of this checkout (rollback.sh --here)."
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
