#!/usr/bin/env bash
# Releases: version of Cargo.toml, section of CHANGELOG.md and tag agree.
#
#   scripts/release.sh check [TAG]         do they? Without a tag: as they are between releases, too
#   scripts/release.sh notes [VERSION]     that version's section, as the notes of its release (default: the newest)
#   scripts/release.sh prepare VERSION     writes the number and today's date where they belong; commits nothing
#
# Between releases the newest section is `## Unreleased (VERSION)`, where VERSION is the next
# version and that of Cargo.toml. `prepare` turns it into `## VERSION (DATE)`. The next change needs
# a new number and a new `## Unreleased (NUMBER)`.
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"
cd "${PROJECT:-$ROOT}"

cargo_version() { awk '/^\[/ {section = $0} section == "[workspace.package]" && $1 == "version" {gsub(/"/, "", $3); print $3}' Cargo.toml; }

# The newest section's heading, without its hashes.
heading() { awk '/^## / {sub(/^## /, ""); print; exit}' CHANGELOG.md; }

# section VERSION: its lines, without the heading and without empty lines around them.
section() {
    awk -v version="$1" '
        /^## / {
            heading = substr($0, 4)
            inside = heading == "Unreleased (" version ")" || index(heading, version " (") == 1
            next
        }
        inside { lines[++n] = $0; if ($0 != "") { last = n; if (!first) first = n } }
        END { for (i = first; first && i <= last; i++) print lines[i] }' CHANGELOG.md
}

# The packages of Cargo.lock that come from this repository (they have no source) and have another
# version than $1.
stale_locked() {
    awk -v RS= -v version="$1" '
        /^\[\[package\]\]/ && !/\nsource = / {
            match($0, /name = "[^"]*"/); name = substr($0, RSTART + 8, RLENGTH - 9)
            match($0, /version = "[^"]*"/); found = substr($0, RSTART + 11, RLENGTH - 12)
            if (found != version) print name " " found
        }' Cargo.lock
}

check() {
    local tag=${1:-} version newest faults=()
    version=$(cargo_version)
    newest=$(heading)
    [ -n "$version" ] || fail "Cargo.toml has no version in [workspace.package]."
    if [[ $newest =~ ^Unreleased\ \((.*)\)$ ]]; then
        [ "${BASH_REMATCH[1]}" = "$version" ] || faults+=("CHANGELOG.md's newest section is of ${BASH_REMATCH[1]}, Cargo.toml says $version")
        [ -z "$tag" ] || faults+=("CHANGELOG.md's newest section is still unreleased; run scripts/release.sh prepare $version")
    elif [[ $newest =~ ^([^ ]+)\ \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$ ]]; then
        [ "${BASH_REMATCH[1]}" = "$version" ] || faults+=("CHANGELOG.md's newest section is of ${BASH_REMATCH[1]}, Cargo.toml says $version")
    else
        faults+=("CHANGELOG.md's newest heading is \"$newest\", not \"Unreleased (VERSION)\" or \"VERSION (YYYY-MM-DD)\"")
    fi
    [ -n "$(section "$version")" ] || faults+=("CHANGELOG.md says nothing about $version")
    [ -z "$tag" ] || [ "$tag" = "v$version" ] || faults+=("the tag is $tag, Cargo.toml says $version: the tag would be v$version")
    local stale
    stale=$(stale_locked "$version" | paste -sd ',' | sed 's/,/, /g')
    [ -z "$stale" ] || faults+=("Cargo.lock has $stale; run cargo update --workspace")
    if [ ${#faults[@]} -gt 0 ]; then
        printf '\033[31mVersion, changelog and tag do not agree:\033[0m\n' >&2
        printf '  %s\n' "${faults[@]}" >&2
        exit 1
    fi
    printf '%s: Cargo.toml, Cargo.lock, CHANGELOG.md%s agree\n' "$version" "${tag:+ and the tag}"
}

prepare() {
    local version=$1 before newest today
    check_version "$version"
    [[ $version == *-* ]] && fail "A release has a number only, like 2.1.0."
    before=$(cargo_version)
    newest=$(heading)
    [[ $newest == Unreleased* ]] || fail "CHANGELOG.md has no \"## Unreleased (…)\" at its head: there is nothing to release."
    ! git rev-parse --quiet --verify "v$version" >/dev/null || fail "The tag v$version exists already."
    today=$(date -u +%F)
    sed -i "0,/^## Unreleased.*/s//## $version ($today)/" CHANGELOG.md
    if [ "$before" != "$version" ]; then
        sed -i "/^\[workspace\.package\]/,/^\[/s/^version = \".*\"/version = \"$version\"/" Cargo.toml
        cargo update --workspace --offline --quiet
    fi
    check
    say "what is left"
    cat <<TEXT
  make openapi                                 # the APIs' descriptions carry the version
  make test
  git commit -am "$version"
  git tag -a v$version -m "$version"
  git push --atomic origin HEAD:main v$version # the tag with the commit: its images are then built as $version
TEXT
}

case ${1:-} in
    check) check "${2:-}" ;;
    notes)
        version=${2:-$(cargo_version)}
        notes=$(section "${version#v}")
        [ -n "$notes" ] || fail "CHANGELOG.md says nothing about ${version#v}."
        printf '%s\n' "$notes"
        ;;
    prepare) prepare "${2:?a version, like 2.1.0}" ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
