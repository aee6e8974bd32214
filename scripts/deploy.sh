#!/usr/bin/env bash
# Deploys a version to an environment: all objects of k8s/overlays/ENVIRONMENT, with this version's
# images.
#
#   scripts/deploy.sh ENVIRONMENT VERSION [options]      scripts/deploy.sh development 2.0.0 --dry-run
#
#   --dry-run          prints the steps in their order; needs no cluster
#   --render           writes the manifests to standard output (| kubectl diff -f -)
#   --no-migrations    runs no migrations (for a roll-back: migrations only add within a release)
#   --colour NAME      if the environment has colours: deploys only blue, green, or idle (the one that clients do not reach)
#   --manifests DIR    the k8s folder of another checkout (default: this one)
#   --context NAME     kubectl's context (default: the current one)
#   --timeout TIME     time limit of each migration and of each Deployment's roll-out (600s)
#
# Order: objects that pods need to start (namespace, accounts, configuration, network); the migration
# Jobs, which must all succeed; each Deployment until it is ready, in the order of
# scripts/environments.sh; the rest (scaling, edge, alarms). Objects that need an administrator
# (namespace, priority, roles) are applied if kubectl's user is one, and must exist otherwise. If a
# migration fails, nothing is rolled out. If a Deployment does not become ready, the script prints
# the reasons, returns every Deployment that this run changed to its former revision, and exits with
# 1. Other objects are not rolled back; the next deployment applies them again.
#
#   REGISTRY    registry of the images: $REGISTRY/<service>:VERSION-PREFIX
set -euo pipefail
# shellcheck source=scripts/environments.sh
source "$(dirname "${BASH_SOURCE[0]}")/environments.sh"
# shellcheck source=scripts/deploy-rollout.sh
source "$ROOT/scripts/deploy-rollout.sh"

mode=deploy migrations=yes colour='' context='' timeout=600s
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit ;;
        --dry-run) mode=dry-run; shift ;;
        --render) mode=render; shift ;;
        --no-migrations) migrations=; shift ;;
        --colour) colour=${2:?blue or green}; shift 2 ;;
        --manifests) MANIFESTS=$(cd "${2:?a folder}" && pwd); shift 2 ;;
        --context) context=${2:?a context}; shift 2 ;;
        --timeout) timeout=${2:?a time, such as 600s}; shift 2 ;;
        -*) fail "Unknown option: $1. See --help." ;;
        *) arguments+=("$1"); shift ;;
    esac
done
[ ${#arguments[@]} -eq 2 ] || { usage >&2; exit 2; }
environment=${arguments[0]} version=${arguments[1]}
check_version "$version"
[[ $timeout =~ ^[0-9]+s$ ]] || fail "Not a time: $timeout. Expected seconds, such as 600s."
need kubectl jq

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
rendering=$scratch/rendering.yaml
render "$environment" "$version" > "$rendering"
render "$environment" "$version" migrate > "$scratch/migrate.yaml"
namespace=$(namespace_of "$environment")

# Parts of the rendering: objects that need an administrator; objects that pods need to start; Jobs
# and Deployments; the rest, which is applied when these run.
administered='^(Namespace|PriorityClass|Role|RoleBinding|ClusterRole|ClusterRoleBinding)/'
foundation='^(ResourceQuota|LimitRange|ServiceAccount|ConfigMap|Secret|SecretStore|ExternalSecret|NetworkPolicy|Service|PersistentVolumeClaim)/'
documents only "$rendering" "$administered" > "$scratch/administered.yaml"
documents only "$rendering" "$foundation" > "$scratch/foundation.yaml"
documents only "$scratch/migrate.yaml" '^Job/' > "$scratch/jobs.yaml"
documents only "$rendering" '^Deployment/' > "$scratch/deployments.yaml"
if grep -qE '^  name: .*-(blue|green)$' "$scratch/deployments.yaml"; then
    [ "$colour" != idle ] || colour=$("$ROOT/scripts/blue-green.sh" idle "$environment" --namespace "$namespace" ${context:+--context "$context"})
    case $colour in
        blue) other=green ;;
        green) other=blue ;;
        *) fail "$environment has colours: choose one (--colour blue, green or idle)." ;;
    esac
    documents without "$scratch/deployments.yaml" "-$other\$" > "$scratch/one-colour.yaml"
    mv "$scratch/one-colour.yaml" "$scratch/deployments.yaml"
else
    [ -z "$colour" ] || fail "$environment has no colours (k8s/overlays/$environment)."
fi
documents without "$rendering" "$administered|$foundation|^(Job|Deployment)/" > "$scratch/rest.yaml"
mapfile -t jobs < <(documents list "$scratch/jobs.yaml" | cut -d / -f 2)
mapfile -t deployments < <(in_rollout_order "$scratch/deployments.yaml")
[ -n "$migrations" ] || jobs=()

if [ "$mode" = render ]; then
    cat "$rendering" "$scratch/jobs.yaml"
    exit
fi
if [ "$mode" = dry-run ]; then
    say "would deploy $version to $environment (namespace $namespace)"
    step() { printf '%s\n' "$1"; shift; [ $# -eq 0 ] || printf '    %s\n' "$@"; }
    mapfile -t names < <(documents list "$scratch/administered.yaml"); step "1. apply objects that need an administrator, if kubectl's user is one" "${names[@]}"
    mapfile -t names < <(documents list "$scratch/foundation.yaml"); step '2. apply objects that pods need to start' "${names[@]}"
    step "3. check that the Secrets they read exist" "$(secrets_read | cut -d ' ' -f 1 | sort -u | paste -sd ' ')"
    step "4. migrate: each Job must complete within $timeout" ${jobs[@]+"${jobs[@]/#/Job/}"}
    step "5. roll out, one after the other: each must become ready within $timeout" "${deployments[@]/#/Deployment/}"
    mapfile -t names < <(documents list "$scratch/rest.yaml"); step '6. apply the rest' ${names[@]+"${names[@]}"}
    exit
fi

say "deploying $version to $environment (namespace $namespace, context ${context:-$(kubectl config current-context)})"
if kube auth can-i patch "namespace/$namespace" > /dev/null 2>&1; then
    kube apply -f "$scratch/administered.yaml"
else
    kube get namespace "$namespace" > /dev/null || fail "The namespace $namespace does not exist, or you may not read it. An administrator deploys first (docs/operations/deploy.md)."
fi
# The cluster must accept everything in a dry run before anything is changed.
documents without "$rendering" "$administered" > "$scratch/all.yaml"
kube apply --dry-run=server -f "$scratch/all.yaml" > /dev/null || fail "The cluster refuses a manifest (above): nothing was changed."
kube apply -f "$scratch/foundation.yaml"
await_external_secrets
check_secrets
[ ${#jobs[@]} -eq 0 ] || migrate
roll_out
if [ -s "$scratch/rest.yaml" ]; then kube apply -f "$scratch/rest.yaml"; fi
record_release
say "$environment runs $version ($SECONDS s)"
