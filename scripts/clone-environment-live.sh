# shellcheck shell=bash
# Values that a clone copies from its running source if they differ from the source's overlay:
# version, number of pods, limits, variables. Sourced by scripts/clone-environment.sh, whose
# variables it reads.
# shellcheck disable=SC2154 # source, source_prefix, prefix and scratch are defined there

# read_source: reads all of the source from the cluster, before anything is written.
read_source() {
    local namespace
    namespace=$(namespace_of "$source")
    kube --namespace "$namespace" get deployments --output json > "$scratch/deployments"
    kube --namespace "$namespace" get configmaps --output json > "$scratch/configmaps"
    kube --namespace "$namespace" get horizontalpodautoscalers --output json > "$scratch/autoscalers"
    live_version=$(jq --raw-output '[.items[].spec.template.spec.containers[].image | capture("/(?<service>[a-z-]+):(?<tag>[^@]+)") | select(.service | IN($ARGS.positional[])) | .tag] | unique | .[]' \
        --args "${ROLLOUT_ORDER[@]}" < "$scratch/deployments" | sed "s/-$source_prefix\$//")
    [ -n "$live_version" ] || fail "No service of the suite runs in the namespace $namespace."
    [ "$(wc -l <<< "$live_version")" -eq 1 ] || fail "$source runs several versions at once ($(paste -sd ' ' <<< "$live_version")): wait until its roll-out has ended, or use --from-overlay."
}

# live_values: prints these values as the rest of a component.
live_values() {
    live_variables
    live_pods
}

# live_variables: prints the ConfigMaps that pods read, by their names without prefix and digest.
live_variables() {
    jq --raw-output --null-input --slurpfile maps "$scratch/configmaps" --slurpfile deployments "$scratch/deployments" --arg prefix "$source_prefix-" '
        ([$deployments[0].items[].spec.template.spec.containers[].envFrom // [] | .[].configMapRef.name // empty] | unique) as $read
        | [$maps[0].items[] | select(.metadata.name | IN($read[])) | select((.data // {}) != {})]
        | if length == 0 then empty else "configMapGenerator:" end,
          (.[] | "  - name: \(.metadata.name | ltrimstr($prefix) | sub("-[a-z0-9]{10}$"; ""))\n    behavior: merge\n    literals:",
                 (.data | to_entries[] | "      - \("\(.key)=\(.value)" | @json)"))' | rename_values
}

# Replaces the source's prefix in names, except in variables that a clone shares with its source.
rename_values() {
    sed -E -e '/^ *- "(APP_ENV|JWT_[A-Z_]*|CORS_ALLOWED_ORIGINS)=/b' -e "s/(^|[^A-Za-z0-9-])$source_prefix-/\1$prefix-/g"
}

# live_pods: prints limits and variables of each Deployment, and its number of pods (that of its
# autoscaler, if it has one).
live_pods() {
    printf 'patches:\n'
    jq --raw-output --null-input --slurpfile deployments "$scratch/deployments" --slurpfile autoscalers "$scratch/autoscalers" --arg prefix "$source_prefix-" '
        def patch(kind; api; name; spec):
            "  - target: {kind: \(kind), name: \(name)}\n    patch: |-\n      \({apiVersion: api, kind: kind, metadata: {name: name}, spec: spec} | tojson)";
        [$autoscalers[0].items[].spec.scaleTargetRef.name] as $scaled
        | ($deployments[0].items[]
           | .metadata.name as $name
           | {template: {spec: {containers: [.spec.template.spec.containers[] | {name, resources, env: [.env // [] | .[] | select(has("value"))]}]}}}
             + if $name | IN($scaled[]) then {} else {replicas: .spec.replicas} end
           | patch("Deployment"; "apps/v1"; $name | ltrimstr($prefix); .)),
          ($autoscalers[0].items[]
           | patch("HorizontalPodAutoscaler"; "autoscaling/v2"; .metadata.name | ltrimstr($prefix); .spec | {minReplicas, maxReplicas}))' | rename_values
}
