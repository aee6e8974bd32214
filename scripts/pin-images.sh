#!/usr/bin/env bash
# Pins base images and other foreign images (Dockerfiles, compose.yaml, manifests) to the present
# digests of their tags.
#
#   scripts/pin-images.sh             writes the digests
#   scripts/pin-images.sh --check     writes nothing; fails if an image is not pinned to the present digest of its tag
#
# Each digest is that of an index, which names an image for each platform, so that the same line
# works on x86-64 and on arm64. To use another tag, change it and run this script. Dependabot
# (.github/dependabot.yml) proposes new tags and digests each week.
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"
cd "$ROOT"

write=yes
case ${1:-} in
    '') ;;
    --check) write=no ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
esac
need skopeo jq git

# Name of an image in these files: registry, repository and tag.
image='docker\.io/[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9_][A-Za-z0-9._-]*'
mapfile -t files < <(git grep --untracked --files-with-matches -E "$image" -- '*Dockerfile' compose.yaml 'k8s/*.yaml')
[ ${#files[@]} -gt 0 ] || fail 'No file names an image.'

# digest_of IMAGE: prints the digest of its index.
digest_of() {
    local index
    index=$(mktemp)
    skopeo inspect --raw "docker://$1" > "$index" || { rm -f "$index"; fail "The registry returned no digest of $1."; }
    if ! jq --exit-status 'has("manifests")' "$index" >/dev/null; then
        rm -f "$index"
        fail "$1 is an image of one platform, not an index."
    fi
    printf 'sha256:%s\n' "$(sha256sum < "$index" | cut -d ' ' -f 1)"
    rm -f "$index"
}

stale=0
while read -r name; do
    digest=$(digest_of "$name")
    # Every form in which the files name it: without a digest, or with an old one.
    while read -r found; do
        [ "$found" != "$name@$digest" ] || continue
        stale=$((stale + 1))
        printf '%s -> %s\n' "$found" "$digest"
        if [ "$write" = yes ]; then
            # Matches the whole tag only: 1.2, but not the beginning of 1.2.3.
            sed -i -E "s#${found//./\\.}([^A-Za-z0-9._@-]|\$)#$name@$digest\1#g" "${files[@]}"
        fi
    done < <(grep --no-filename --only-matching -E "$image(@sha256:[0-9a-f]{64})?" "${files[@]}" | awk -v name="$name" -F @ '$1 == name' | sort -u)
done < <(grep --no-filename --only-matching -E "$image" "${files[@]}" | sort -u)

if [ "$stale" = 0 ]; then
    say 'Every image is pinned to the digest of its tag.'
elif [ "$write" = no ]; then
    fail "$stale images are not pinned to the present digests of their tags. Run scripts/pin-images.sh."
fi
