#!/usr/bin/env bash
# Clones an environment: creates a namespace with the topology of another one (services, versions,
# numbers of pods, variables, limits, network, order of roll-out), without its data and secrets. For
# a preview of a branch or a second staging.
#
#   scripts/clone-environment.sh SOURCE NEW [options]      scripts/clone-environment.sh development login --apply
#   scripts/clone-environment.sh --destroy NEW [--keep] [--context NAME]
#
#   --prefix P          prefix of its names (default: the first ten letters and digits of NEW)
#   --host HOST         public host (default: SOURCE's, with NEW instead of SOURCE or after the first label)
#   --from-overlay      clones k8s/overlays/SOURCE (default)
#   --from-cluster      clones SOURCE as it runs now, including changes by hand to version, number of pods, limits and variables
#   --version VERSION   another version than SOURCE's
#   --apply             promotes the images and deploys the clone
#   --context NAME      kubectl's context
#
# The result is k8s/overlays/NEW: keep, change, commit or delete it. Databases, topics, queues and
# roles (infra/environments) and the values of the Secrets must be created as for any environment;
# k8s/overlays/NEW/secrets.example lists the Secrets. --destroy deletes the namespace with
# everything in it, and the folder unless --keep is given. It destroys clones only.
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"
# shellcheck source=scripts/clone-environment-live.sh
source "$ROOT/scripts/clone-environment-live.sh"

prefix='' host='' from_cluster='' version='' apply='' context='' destroy='' keep='' arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit ;;
        --prefix) prefix=${2:?a prefix}; shift 2 ;;
        --host) host=${2:?a host}; shift 2 ;;
        --from-overlay) from_cluster=''; shift ;;
        --from-cluster) from_cluster=yes; shift ;;
        --version) version=${2:?a version}; check_version "$version"; shift 2 ;;
        --apply) apply=yes; shift ;;
        --context) context=${2:?a context}; shift 2 ;;
        --destroy) destroy=${2:?a clone}; shift 2 ;;
        --keep) keep=yes; shift ;;
        -*) fail "Unknown option: $1. See --help." ;;
        *) arguments+=("$1"); shift ;;
    esac
done
need kubectl jq
kube() { kubectl ${context:+--context "$context"} "$@"; }

if [ -n "$destroy" ]; then
    origin=$(kube get namespace "$destroy" --ignore-not-found --output jsonpath='{.metadata.labels.reminders/clone-of}')
    folder=$MANIFESTS/overlays/$destroy
    [ -n "$origin" ] || [ -d "$folder/clone" ] || fail "$destroy is no clone: neither its namespace nor its folder is marked as one. Nothing was destroyed."
    [ -z "$origin" ] || kube delete namespace "$destroy" --wait=true
    # Objects that are in no namespace.
    kube delete priorityclass --selector "reminders/environment=$destroy" --ignore-not-found
    if [ -z "$keep" ] && [ -d "$folder/clone" ]; then rm -r "$folder"; fi
    say "$destroy is destroyed${keep:+; k8s/overlays/$destroy is kept}. Its databases, topics, queues and roles still exist (infra/environments)."
    exit
fi

[ ${#arguments[@]} -eq 2 ] || { usage >&2; exit 2; }
source=${arguments[0]} new=${arguments[1]}
prefix=${prefix:-$(tr -d - <<< "$new" | cut -c1-10)}
[[ $new =~ ^[a-z]([-a-z0-9]*[a-z0-9])?$ && ${#new} -le 40 ]] || fail "Not a name for a namespace: $new. Expected at most 40 lower-case letters, digits and hyphens."
[[ $prefix =~ ^[a-z][a-z0-9]{0,9}$ ]] || fail "Not a prefix: $prefix. Expected at most ten lower-case letters and digits, as in infra/terraform."
from=$(overlay_of "$source")
to=$MANIFESTS/overlays/$new
[ ! -e "$to" ] || fail "k8s/overlays/$new exists already."
source_prefix=$(prefix_of "$source")
for taken in $(environments); do
    [ "$(prefix_of "$taken")" != "$prefix" ] || fail "The prefix $prefix is in use by $taken."
done
source_host=$(sed -n 's/^ *value: \([a-z0-9.-]*\.[a-z]*\)$/\1/p' "$from/environment/entry.yaml" | head -n 1)
if [ -z "$host" ]; then
    case .$source_host. in
        *".$source."*) host=${source_host/$source/$new} ;;
        *) host=${source_host%%.*}.$new.${source_host#*.} ;;
    esac
fi

# Replaces the source's names (namespace, prefix, host) in values and comments. Keeps values that a
# clone shares with its source: kind of environment, issuer of tokens, web clients.
rename() {
    local shared='^(APP_ENV|JWT_[A-Z_]*|CORS_ALLOWED_ORIGINS)='
    sed -E -e "/$shared/b" \
        -e "s/(^|[^A-Za-z0-9.-])${source_host//./\\.}($|[^A-Za-z0-9.-])/\1$host\2/g" \
        -e "s/$source-$source_prefix-/$new-$prefix-/g" \
        -e "s/(^|[^A-Za-z0-9-])$source_prefix-/\1$prefix-/g" \
        -e "s/^( *newTag: .*)-$source_prefix\$/\1-$prefix/" \
        -e "s/(^|[^A-Za-z0-9.-])$source($|[^A-Za-z0-9.-])/\1$new\2/g"
}

scratch=$(mktemp -d)
trap 'rm -rf "$to" "$scratch"' EXIT
if [ -n "$from_cluster" ]; then read_source; fi
cp -R "$from" "$to"
while read -r file; do rename < "$from/${file#"$to/"}" > "$file"; done < <(find "$to" -type f)

# The component `clone` has the additions of a clone and comes last. A clone of a clone has it
# already.
mkdir -p "$to/clone"
{
    printf '# A clone of %s. The labels mark it as one that scripts/clone-environment.sh --destroy may delete.\n' "$source"
    printf 'apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n'
    printf 'labels:\n  - pairs:\n      reminders/clone-of: %s\n      reminders/environment: %s\n' "$source" "$new"
    if [ -n "$from_cluster" ]; then live_values; fi
} > "$to/clone/kustomization.yaml"
# add_component FILE NAME: adds a component at the end of the list.
add_component() {
    grep -q "^  - $2\$" "$1" || awk -v line="  - $2" '
        inside && !/^  / { print line; inside = 0 }
        /^components:/ { inside = 1 }
        { print }
        END { if (inside) print line }' "$1" > "$1.new"
    if [ -f "$1.new" ]; then mv "$1.new" "$1"; fi
}
add_component "$to/kustomization.yaml" clone
add_component "$to/migrate/kustomization.yaml" ../clone
version=${version:-${live_version:-$(sed -nE "s/^ *newTag: (.*)-$prefix\$/\1/p" "$to/environment/kustomization.yaml" | head -n 1)}}
[ -n "$version" ] || fail "k8s/overlays/$source names no version."
"$MANIFESTS/set-version.sh" "$version" "$new"

# A clone must render to the same as its source except for names, and must not refer to its source.
rendering=$scratch/rendering
{ render "$new" "$version"; render "$new" "$version" migrate; } > "$rendering"
if grep -nE "(^|[^A-Za-z0-9-])$source_prefix-|namespace: $source\$|$source-$source_prefix-|-$source_prefix\"?\$" "$rendering" >&2; then
    fail "k8s/overlays/$new would refer to objects of $source (above). It was removed."
fi
objects=$(documents list "$rendering" | wc -l)
{
    printf '# The Secrets and keys that %s reads, without values. Fill in a copy outside of the repository.\n' "$new"
    secrets_in "$rendering" | awk -v namespace="$new" '
        $1 != name { name = $1; printf "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\nstringData:\n", name, namespace }
        { printf "  %s: \"\"\n", $2 }'
} > "$to/secrets.example"
trap 'rm -rf "$scratch"' EXIT

say "k8s/overlays/$new: $objects objects like $source's, version $version, prefix $prefix-, $host"
if [ -z "$apply" ]; then
    cat <<TEXT
next steps:
  create databases, topics, queues and roles with the prefix $prefix (infra/environments)
  create the Secrets of k8s/overlays/$new/secrets.example
  scripts/promote.sh $version $source $new
  scripts/deploy.sh $new $version
TEXT
    exit
fi
"$ROOT/scripts/promote.sh" "$version" "$source" "$new"
"$ROOT/scripts/deploy.sh" "$new" "$version" ${context:+--context "$context"}
