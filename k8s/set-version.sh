#!/usr/bin/env bash
# Writes a version into the manifests: the tags of the images, and the names of the migration Jobs.
#
#   k8s/set-version.sh VERSION [ENVIRONMENT...]             all environments if none is named
#   k8s/set-version.sh VERSION ENVIRONMENT --colour green   only the green Deployments of its services with colours
#
# Applies nothing. scripts/deploy.sh uses the version of its command line; the version in the
# manifests is for `kubectl apply` by hand, and records the version that an environment should run.
set -euo pipefail
cd "$(dirname "$0")/overlays"

fail() { printf '%s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "../$(basename "$0")"; }

colour='' arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit ;;
        --colour) colour=${2:?blue or green}; shift 2 ;;
        -*) fail "Unknown option: $1. See --help." ;;
        *) arguments+=("$1"); shift ;;
    esac
done
[ ${#arguments[@]} -ge 1 ] || { usage >&2; exit 2; }
version=${arguments[0]}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "Not a version: $version. Expected the form 2.0.0 or 2.0.0-rc.1."
environments=("${arguments[@]:1}")
[ ${#environments[@]} -gt 0 ] || environments=(*)

# Changes the tags of the suite's own images, which have the form VERSION-PREFIX. Tags of other
# images (ministack, postgres) stay.
tag() { sed -i -E "$2s/^( *newTag: )[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?-([a-z0-9]+)\$/\1$version-\3/" "$1"; }

for environment in "${environments[@]}"; do
    [ -f "$environment/kustomization.yaml" ] || fail "No environment $environment: k8s/overlays/$environment does not exist. Environments: $(printf '%s ' *)"
    if [ -n "$colour" ]; then
        [[ $colour =~ ^(blue|green)$ ]] || fail "Not a colour: $colour. Expected blue or green."
        [ -f "$environment/colours/kustomization.yaml" ] || fail "$environment has no colours: k8s/overlays/$environment/colours does not exist."
        tag "$environment/colours/kustomization.yaml" "/name: .*-$colour\$/,/newTag:/"
        continue
    fi
    for file in "$environment"/kustomization.yaml "$environment"/*/kustomization.yaml; do
        # Colours have versions of their own.
        [[ $file == */colours/* ]] || tag "$file" ''
    done
    if [ -f "$environment/environment/version.yaml" ]; then
        sed -i -E "s/^suffix: .*/suffix: -$(tr '.A-Z' '-a-z' <<< "$version")/" "$environment/environment/version.yaml"
    fi
done
