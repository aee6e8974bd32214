#!/usr/bin/env bash
# Rolls back: deploys a version that the environment ran before, with the manifests of that version.
#
#   scripts/rollback.sh ENVIRONMENT [VERSION] [--here] [--dry-run] [--colour NAME] [--context NAME] [--timeout TIME]
#   scripts/rollback.sh ENVIRONMENT --list            lists the versions that the environment ran, the newest first
#
# Without VERSION, the version before the present one is deployed. The manifests come from a separate
# checkout of the commit that it was built from; --here uses those of this checkout. The databases do
# not change: migrations only add within a release (CONTRIBUTING.md), so a roll-back by one release is
# safe; one by several releases may not work. With blue-green, scripts/blue-green.sh back is faster.
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"

here='' list='' context='' options=() arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit ;;
        --here) here=yes; shift ;;
        --list) list=yes; shift ;;
        --dry-run) options+=("$1"); shift ;;
        --context) context=${2:?a context}; options+=("$1" "$2"); shift 2 ;;
        --timeout | --colour) options+=("$1" "${2:?its value}"); shift 2 ;;
        -*) fail "Unknown option: $1. See --help." ;;
        *) arguments+=("$1"); shift ;;
    esac
done
case ${#arguments[@]} in 1 | 2) ;; *) usage >&2; exit 2 ;; esac
environment=${arguments[0]} version=${arguments[1]:-}
need kubectl git

name=$(prefix_of "$environment")-releases
namespace=$(namespace_of "$environment")
history=$(kubectl ${context:+--context "$context"} --namespace "$namespace" get configmap "$name" --ignore-not-found --output jsonpath='{.data.history}')
[ -n "$history" ] || fail "$namespace has no ConfigMap $name: scripts/deploy.sh has not deployed anything there."
if [ -n "$list" ]; then
    printf '%s\n' "$history"
    exit
fi

present=${history%% *}
if [ -z "$version" ]; then
    version=$(awk -v present="$present" '$1 != present {print $1; exit}' <<< "$history")
    [ -n "$version" ] || fail "$environment has run no other version than $present: there is none to roll back to."
fi
check_version "$version"
grep -q "^$version " <<< "$history" || warn "$version is not among the last twenty deployments of $environment."

if [ -z "$here" ]; then
    commit=$("$ROOT/scripts/version.sh" --commit "$version")
    checkout=$(mktemp -d)
    trap 'git -C "$ROOT" worktree remove --force "$checkout/tree" 2> /dev/null || true; rm -rf "$checkout"' EXIT
    git -C "$ROOT" worktree add --quiet --detach "$checkout/tree" "$commit"
    options+=(--manifests "$checkout/tree/k8s")
fi
say "$environment runs $present; rolling back to $version"
"$ROOT/scripts/deploy.sh" "$environment" "$version" --no-migrations ${options[@]+"${options[@]}"}
