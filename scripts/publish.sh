#!/usr/bin/env bash
# Publishes the images that `make images` built: pushes each with the tag of its first environment,
# attaches its bill of materials (SBOM) and its SLSA provenance, and signs all three.
# scripts/promote.sh adds the tags of further environments.
#
#   scripts/publish.sh VERSION ENVIRONMENT [--output FOLDER] [--no-sign]      scripts/publish.sh 2.0.0 development
#
# Output in FOLDER (target/publish): images.txt (a line with service and digest for each image),
# SERVICE.spdx.json and SERVICE.provenance.json. A tag that exists and is signed is not changed. A
# tag that exists and is not signed is an error, because its origin is unknown.
#
#   REGISTRY    registry of the images: $REGISTRY/<service>:VERSION-PREFIX; log in first (docker login)
#   SIGNED_BY   a regular expression of the identities whose signatures on existing tags are accepted
# Signing is keyless: cosign gets a certificate for the identity that runs this script (in GitHub
# Actions by `id-token: write`).
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"

output=$ROOT/target/publish
sign=yes
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit ;;
        --output) output=${2:?a folder}; shift 2 ;;
        --no-sign) sign=; shift ;;
        -*) fail "Unknown option: $1. See --help." ;;
        *) arguments+=("$1"); shift ;;
    esac
done
[ ${#arguments[@]} -eq 2 ] || { usage >&2; exit 2; }
version=${arguments[0]} environment=${arguments[1]}
check_version "$version"
need docker skopeo kubectl jq git
[ -z "$sign" ] || need cosign
prefix=$(prefix_of "$environment")
commit=$(git -C "$ROOT" rev-parse HEAD)
mkdir -p "$output"
: > "$output/images.txt"
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# published REFERENCE: prints its digest, or nothing if the registry does not have it.
published() {
    if skopeo inspect --format '{{.Digest}}' "docker://$1" 2> "$errors"; then return; fi
    grep -qiE 'manifest unknown|name unknown' "$errors" || fail "Cannot look up $1: $(tail -n 1 "$errors")"
}

is_signed() {
    cosign verify --output text --certificate-identity-regexp "${SIGNED_BY:?which identities may have signed $1, as a regular expression}" \
        --certificate-oidc-issuer https://token.actions.githubusercontent.com "$1" > /dev/null 2> "$errors"
}

# Provenance: what was built, from which source, by whom (predicate https://slsa.dev/provenance/v1).
provenance() {
    jq --null-input --arg service "$1" --arg version "$version" --arg commit "$commit" \
        --arg source "git+${GITHUB_SERVER_URL:-https://github.com}/${GITHUB_REPOSITORY:-local/checkout}" \
        --arg ref "${GITHUB_REF:-}" --arg workflow "${GITHUB_WORKFLOW_REF:-make images}" \
        --arg run "${GITHUB_SERVER_URL:-}${GITHUB_RUN_ID:+/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID/attempts/${GITHUB_RUN_ATTEMPT:-1}}" '
        {
            buildDefinition: {
                buildType: "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
                externalParameters: {workflow: $workflow, ref: $ref, buildArgs: {SERVICE: $service, VERSION: $version}},
                resolvedDependencies: [{uri: $source, digest: {gitCommit: $commit}}]
            },
            runDetails: {builder: {id: $workflow}, metadata: {invocationId: $run}}
        }'
}

for service in "${ROLLOUT_ORDER[@]}"; do
    tag=$REGISTRY/$service:$version-$prefix
    digest=$(published "$tag")
    if [ -n "$digest" ]; then
        printf '%s %s\n' "$service" "$digest" >> "$output/images.txt"
        if [ -n "$sign" ]; then
            is_signed "$REGISTRY/$service@$digest" || fail "$tag exists and is not signed by ${SIGNED_BY}. Remove it from the registry and run this again."
        fi
        printf '%s is published already, with the digest %s\n' "$tag" "$digest"
        continue
    fi
    say "publishing $tag"
    docker push --quiet "$tag" > /dev/null
    digest=$(published "$tag")
    [ -n "$digest" ] || fail "$tag was pushed, but the registry does not have it."
    printf '%s %s\n' "$service" "$digest" >> "$output/images.txt"
    "$ROOT/scripts/sbom.sh" "$service" "$version" --output "$output/$service.spdx.json"
    provenance "$service" > "$output/$service.provenance.json"
    [ -n "$sign" ] || continue
    # Signs last, so that a signed image has all its attestations.
    cosign attest --yes --type spdxjson --predicate "$output/$service.spdx.json" "$REGISTRY/$service@$digest"
    cosign attest --yes --type slsaprovenance1 --predicate "$output/$service.provenance.json" "$REGISTRY/$service@$digest"
    cosign sign --yes "$REGISTRY/$service@$digest"
done
say "published $version for $environment:"
cat "$output/images.txt"
