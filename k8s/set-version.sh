#!/usr/bin/env bash
# Writes a version into the manifests: the tags of the images, and the names of the migrations.
#
#   k8s/set-version.sh VERSION [ENVIRONMENT...]             all environments when none is named
#   k8s/set-version.sh VERSION ENVIRONMENT --colour green   that colour of its entry components alone
#
# Applies nothing. scripts/deploy.sh takes the version it is given; what stands here is for whoever
# applies by hand, and for the record of what an environment is meant to run.
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
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "Not a version: $version. It is like 2.0.0 or 2.0.0-rc.1."
environments=("${arguments[@]:1}")
[ ${#environments[@]} -gt 0 ] || environments=(*)

# Tags of the suite's own images, which are those with a version and the prefix; a stand-in's
# (ministack, postgres) stay.
tag() { sed -i -E "$2s/^( *newTag: )[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?-([a-z0-9]+)\$/\1$version-\3/" "$1"; }

for environment in "${environments[@]}"; do
    [ -f "$environment/kustomization.yaml" ] || fail "No environment $environment: there is no k8s/overlays/$environment. There are: $(printf '%s ' *)"
    if [ -n "$colour" ]; then
        [[ $colour =~ ^(blue|green)$ ]] || fail "Not a colour: $colour. It is blue or green."
        [ -f "$environment/colours/kustomization.yaml" ] || fail "$environment has no colours: there is no k8s/overlays/$environment/colours."
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
