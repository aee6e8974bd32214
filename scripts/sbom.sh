#!/usr/bin/env bash
# Writes the bill of materials of a service: the crates that its binary contains, as SPDX JSON.
#
#   scripts/sbom.sh SERVICE VERSION [--output FILE]
#
# Cargo.lock of the workspace also contains crates that the service does not link (of tests, tools and
# other platforms), and a stripped binary contains no list. So cargo lists the crates that the service
# links on Linux, and syft reads a lock file with only these.
#
#   SYFT   path of syft (default: the one on PATH, or in .verify)
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"
cd "$ROOT"

output=/dev/stdout
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit ;;
        --output) output=${2:?a file}; shift 2 ;;
        -*) fail "Unknown option: $1. See --help." ;;
        *) arguments+=("$1"); shift ;;
    esac
done
[ ${#arguments[@]} -eq 2 ] || { usage >&2; exit 2; }
service=${arguments[0]} version=${arguments[1]}
check_version "$version"
syft=${SYFT:-$(command -v syft || true)}
[ -n "$syft" ] || syft=$ROOT/.verify/venv/bin/syft
[ -x "$syft" ] || fail "Missing: syft. make verify installs it into .verify (tests/verify/requirements.txt)."
need cargo jq

scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
mkdir "$scratch/lock"
cargo tree --quiet --locked --package "$service" --edges normal --target x86_64-unknown-linux-gnu --prefix none --format '{p}|{l}' |
    sed -E 's/ \(\*\)$//; s/^([^ ]+) v([^ |]+)[^|]*\|/\1 \2|/; s# */ *# OR #g' | sort -u > "$scratch/linked"
# Packages are paragraphs of Cargo.lock; the first two paragraphs are about the file.
awk -v RS= -v ORS='\n\n' '
    FILENAME == ARGV[1] { lines = split($0, line, "\n"); for (i = 1; i <= lines; i++) { sub(/\|.*/, "", line[i]); wanted[line[i]] = 1 }; next }
    !/^\[\[package\]\]/ { print; next }
    { split($0, word, "\""); if ((word[2] " " word[4]) in wanted) print }' "$scratch/linked" Cargo.lock > "$scratch/lock/Cargo.lock"
jq --raw-input --null-input '[inputs | split("|") | {key: .[0], value: .[1]}] | from_entries' "$scratch/linked" > "$scratch/licences"

"$syft" scan --quiet "dir:$scratch/lock" --select-catalogers rust --source-name "$service" --source-version "$version" \
    --output "spdx-json=$scratch/spdx" || fail "syft could not read the lock file of $service."
jq --slurpfile licences "$scratch/licences" '
    .packages |= map(if .primaryPackagePurpose == "FILE" then . else .licenseDeclared = ($licences[0]["\(.name) \(.versionInfo)"] // .licenseDeclared) end)' \
    "$scratch/spdx" > "$scratch/sbom"
linked=$(wc -l < "$scratch/linked")
listed=$(jq '[.packages[] | select(.primaryPackagePurpose != "FILE")] | length' "$scratch/sbom")
[ "$listed" -eq "$linked" ] || fail "The bill of materials of $service lists $listed crates, but $linked are linked."
cat "$scratch/sbom" > "$output"
