#!/usr/bin/env bash
# Checks and prepares releases: Cargo.toml, the newest section of CHANGELOG.md and the tag must name
# the same version.
#
#   scripts/release.sh check [TAG]         checks that; without a tag, the section may be unreleased
#   scripts/release.sh notes [VERSION]     prints the section of a version (default: that of Cargo.toml)
#   scripts/release.sh prepare VERSION     writes the version and today's date into the files; commits nothing
#
# Between releases the newest section is `## Unreleased (VERSION)`, where VERSION is the next
# version and that of Cargo.toml. `prepare` turns it into `## VERSION (DATE)`. The next change needs
# a new number and a new `## Unreleased (NUMBER)`.
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"
cd "${PROJECT:-$ROOT}"

cargo_version() { awk '/^\[/ {section = $0} section == "[workspace.package]" && $1 == "version" {gsub(/"/, "", $3); print $3}' Cargo.toml; }

# heading: prints the heading of the newest section, without its hashes.
heading() { awk '/^## / {sub(/^## /, ""); print; exit}' CHANGELOG.md; }

# section VERSION: prints its lines, without the heading and without leading and trailing empty lines.
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

# stale_locked VERSION: prints the packages of Cargo.lock that belong to this repository (they have
# no source) and have another version.
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
    [ -n "$(section "$version")" ] || faults+=("CHANGELOG.md has no section for $version, or an empty one")
    [ -z "$tag" ] || [ "$tag" = "v$version" ] || faults+=("the tag is $tag, but Cargo.toml says $version: the tag must be v$version")
    local stale
    stale=$(stale_locked "$version" | paste -sd ',' | sed 's/,/, /g')
    [ -z "$stale" ] || faults+=("Cargo.lock contains $stale; run cargo update --workspace")
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
    [[ $version == *-* ]] && fail "A release has three numbers and no suffix, such as 2.1.0."
    before=$(cargo_version)
    newest=$(heading)
    [[ $newest == Unreleased* ]] || fail "CHANGELOG.md does not begin with a section \"## Unreleased (…)\": there is nothing to release."
    ! git rev-parse --quiet --verify "v$version" >/dev/null || fail "The tag v$version exists already."
    today=$(date -u +%F)
    sed -i "0,/^## Unreleased.*/s//## $version ($today)/" CHANGELOG.md
    if [ "$before" != "$version" ]; then
        sed -i "/^\[workspace\.package\]/,/^\[/s/^version = \".*\"/version = \"$version\"/" Cargo.toml
        cargo update --workspace --offline --quiet
    fi
    check
    say "next steps"
    cat <<TEXT
  make openapi                                 # the openapi.json files contain the version
  make test
  git commit -am "$version"
  git tag -a v$version -m "$version"
  git push --atomic origin HEAD:main v$version # together, so that the images are built as $version
TEXT
}

case ${1:-} in
    check) check "${2:-}" ;;
    notes)
        version=${2:-$(cargo_version)}
        notes=$(section "${version#v}")
        [ -n "$notes" ] || fail "CHANGELOG.md has no section for ${version#v}, or an empty one."
        printf '%s\n' "$notes"
        ;;
    prepare) prepare "${2:?a version, such as 2.1.0}" ;;
    -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
