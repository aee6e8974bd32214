#!/usr/bin/env bash
# Promotes a version: gives the images of one environment the tag of the next one. Nothing is built:
# the digest stays the same, and so do its signature, SBOM and provenance.
#
#   scripts/promote.sh VERSION FROM TO [--dry-run]      scripts/promote.sh 2.0.0 staging production
#
# A tag is never moved: if a tag of TO exists for another image, no image is promoted. A second run
# changes nothing. Exit status 3 means that FROM does not have the version; a caller can then build
# it.
#
#   REGISTRY           registry of the images: $REGISTRY/<service>:VERSION-PREFIX
#   SIGNED_BY          a regular expression of certificate identities; an image that none of them signed is not promoted
#   SIGNED_BY_ISSUER   issuer of these certificates (https://token.actions.githubusercontent.com)
#   TRANSPORT          docker:// (default), or another transport of skopeo, such as oci:
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"
TRANSPORT=${TRANSPORT:-docker://}

dry_run=
arguments=()
for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit ;;
        --dry-run) dry_run=yes ;;
        -*) fail "Unknown option: $argument. See --help." ;;
        *) arguments+=("$argument") ;;
    esac
done
[ ${#arguments[@]} -eq 3 ] || { usage >&2; exit 2; }
version=${arguments[0]} from=${arguments[1]} to=${arguments[2]}
check_version "$version"
[ "$from" != "$to" ] || fail "FROM and TO are both $from."
need skopeo kubectl
[ -z "${SIGNED_BY:-}" ] || need cosign
from_prefix=$(prefix_of "$from")
to_prefix=$(prefix_of "$to")

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# digest REFERENCE: prints the digest, or nothing if the tag does not exist. Fails if the registry
# does not answer.
digest() {
    if skopeo inspect --format '{{.Digest}}' "$TRANSPORT$1" 2> "$errors"; then return; fi
    grep -qiE 'manifest unknown|name unknown|no descriptor found|no such file' "$errors" || fail "Cannot look up $1: $(tail -n 1 "$errors")"
}

# Checks all images before it changes a tag, so that a version is promoted completely or not at all.
declare -A source_digest
pending=()
for service in "${ROLLOUT_ORDER[@]}"; do
    source=$REGISTRY/$service:$version-$from_prefix
    target=$REGISTRY/$service:$version-$to_prefix
    source_digest[$service]=$(digest "$source")
    if [ -z "${source_digest[$service]}" ]; then
        warn "There is no $source. A version is built once, for the first environment that it runs in: did $from ever run it?"
        exit 3
    fi
    target_digest=$(digest "$target")
    if [ "$target_digest" = "${source_digest[$service]}" ]; then
        printf '%s already has the digest %s\n' "$target" "$target_digest"
    elif [ -n "$target_digest" ]; then
        fail "$target is another image ($target_digest) than $source (${source_digest[$service]}). A tag is never moved; build a new version."
    else
        pending+=("$service")
    fi
done

if [ -n "${SIGNED_BY:-}" ]; then
    for service in "${ROLLOUT_ORDER[@]}"; do
        cosign verify --output text --certificate-identity-regexp "$SIGNED_BY" \
            --certificate-oidc-issuer "${SIGNED_BY_ISSUER:-https://token.actions.githubusercontent.com}" \
            "$REGISTRY/$service@${source_digest[$service]}" > /dev/null 2> "$errors" ||
            fail "$service:$version-$from_prefix is not signed by $SIGNED_BY: $(tail -n 1 "$errors")"
    done
fi

for service in ${pending[@]+"${pending[@]}"}; do
    target=$REGISTRY/$service:$version-$to_prefix
    if [ -n "$dry_run" ]; then
        printf 'would tag %s as %s\n' "${source_digest[$service]}" "$target"
        continue
    fi
    skopeo copy --quiet --all --preserve-digests "$TRANSPORT$REGISTRY/$service:$version-$from_prefix" "$TRANSPORT$target"
    copied=$(digest "$target")
    [ "$copied" = "${source_digest[$service]}" ] || fail "$target has the digest $copied after the copy, not ${source_digest[$service]}."
    printf '%s has the digest %s\n' "$target" "$copied"
done
