# shellcheck shell=bash
# The steps of a deployment that wait, and the actions when they fail. Sourced by scripts/deploy.sh,
# whose variables it reads.
# shellcheck disable=SC2154 # environment, namespace, context, timeout, version, scratch, rendering, jobs, deployments are its

kube() { kubectl ${context:+--context "$context"} --namespace "$namespace" "$@"; }

# in_rollout_order RENDERING: the names of its Deployments. What belongs to no service (a stand-in,
# a database) comes first.
in_rollout_order() {
    local service name known=()
    for service in "${ROLLOUT_ORDER[@]}"; do
        while read -r name; do known+=("$name"); done < <(deployments_of "$1" "$service")
    done
    documents list "$1" | sed -n 's|^Deployment/||p' | grep -vxF -e "$(printf '%s\n' "${known[@]}")" || true
    printf '%s\n' "${known[@]}"
}

# Secrets that are fetched from elsewhere are there when their ExternalSecrets are ready.
await_external_secrets() {
    local name
    while read -r name; do
        kube wait --for=condition=Ready "externalsecret/$name" --timeout="$timeout" ||
            fail "ExternalSecret $name is not ready: kubectl --namespace $namespace describe externalsecret $name"
    done < <(documents list "$rendering" | sed -n 's|^ExternalSecret/||p')
}

# The Secrets and keys that services and migrations read.
secrets_read() { { secrets_in "$rendering"; secrets_in "$scratch/jobs.yaml"; } | sort -u; }

# Checks that every Secret and key that a pod reads exists; only names are read.
check_secrets() {
    local names
    mapfile -t names < <(secrets_read | cut -d ' ' -f 1 | sort -u)
    # shellcheck disable=SC2016 # the template's variables, not the shell's
    kube get secret "${names[@]}" --ignore-not-found --output go-template='{{range .items}}{{$name := .metadata.name}}{{$name}} *{{"\n"}}{{range $key, $value := .data}}{{$name}} {{$key}}{{"\n"}}{{end}}{{end}}' \
        > "$scratch/secrets" || fail "Cannot look for the Secrets of $namespace."
    if secrets_read | grep -vxF -f "$scratch/secrets" > "$scratch/missing"; then
        sed -E "s/^([^ ]*) \*$/\1/; s/^([^ ]*) (.*)/\1, key \2/; s/^/missing in $namespace: Secret /" "$scratch/missing" >&2
        fail "Nothing was rolled out. Create what is missing (docs/operations/secrets.md) and run this again."
    fi
}

# migrate: runs all Jobs at once (each has its own database) and waits for them.
migrate() {
    local job failed=() deadline=$((SECONDS + ${timeout%s}))
    say "migrating: ${jobs[*]}"
    # A Job cannot be changed, and one that has run would not run again.
    kube delete job "${jobs[@]}" --ignore-not-found --wait=true
    kube apply -f "$scratch/jobs.yaml"
    while :; do
        kube get job "${jobs[@]}" --output json |
            jq --raw-output '(.items // [.])[] | "\(.metadata.name) \([.status.conditions // [] | .[] | select(.status == "True").type] | join(","))"' > "$scratch/states"
        grep -qvE ' .*(Complete|Failed)' "$scratch/states" || break
        [ "$SECONDS" -lt "$deadline" ] || break
        sleep "${POLL_SECONDS:-2}"
    done
    mapfile -t failed < <(grep -v ' .*Complete' "$scratch/states" | cut -d ' ' -f 1)
    [ ${#failed[@]} -gt 0 ] || return 0
    for job in "${failed[@]}"; do
        warn "job/$job did not succeed within $timeout:"
        explain_pods "job-name=$job"
    done
    fail "The migration failed: nothing was rolled out, $namespace runs what it ran. Mend it and deploy again."
}

# explain_pods SELECTOR: prints why its pods are not ready, and their last log lines. Logs contain
# no secrets.
explain_pods() {
    {
        kube get pods --selector "$1" --output wide || true
        kube get pods --selector "$1" --output json | jq --raw-output '
            .items[] | .metadata.name as $pod
            | (.status.conditions // [] | .[] | select(.status != "True" and .message) | "\($pod): \(.type): \(.message)"),
              (.status.initContainerStatuses // [], .status.containerStatuses // [] | .[]
               | (.state.waiting // empty | "\($pod): waiting: \(.reason): \(.message // "")"),
                 (.state.terminated // .lastState.terminated // empty | select(.exitCode != 0) | "\($pod): ended with \(.exitCode): \(.reason)"))' || true
        kube logs --selector "$1" --all-containers --tail=30 --prefix || true
        kube logs --selector "$1" --all-containers --tail=30 --prefix --previous 2> /dev/null || true
    } >&2
}

# Prints the Deployments as they are; and the revision of one of them.
deployments_now() { kube get deployments --output json; }
revision_in() { jq --raw-output --arg name "$1" '.items[] | select(.metadata.name == $name) | .metadata.annotations["deployment.kubernetes.io/revision"] // ""'; }

# roll_out: rolls out one Deployment after the other. `before` and `touched` are needed to go back.
roll_out() {
    local deployment
    before=$(deployments_now)
    touched=()
    trap 'go_back "It was interrupted."' INT TERM
    for deployment in "${deployments[@]}"; do
        touched+=("$deployment")
        documents only "$scratch/deployments.yaml" "^Deployment/$deployment\$" > "$scratch/one.yaml"
        kube apply -f "$scratch/one.yaml" || go_back "$deployment was refused."
        if ! kube rollout status "deployment/$deployment" --timeout="$timeout"; then
            warn "$deployment did not become ready with $version:"
            explain_pods "$(deployments_now | selector_in "$deployment")"
            go_back "$deployment did not become ready."
        fi
    done
    trap - INT TERM
}

selector_in() { jq --raw-output --arg name "$1" '.items[] | select(.metadata.name == $name) | .spec.selector.matchLabels | to_entries | map("\(.key)=\(.value)") | join(",")'; }

# The configuration that kubectl applied before this run, which it keeps on the Deployment.
applied_before() {
    jq --arg name "$1" '.items[] | select(.metadata.name == $name) | .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"] | fromjson' <<< "$before"
}

# go_back REASON: returns what this run changed to its former revision, and ends the script.
go_back() {
    trap '' INT TERM
    local deployment revision now index returned=() stuck=()
    say "going back"
    now=$(deployments_now)
    for ((index = ${#touched[@]} - 1; index >= 0; index--)); do
        deployment=${touched[index]}
        revision=$(revision_in "$deployment" <<< "$before")
        if [ -z "$revision" ]; then
            warn "deployment/$deployment is new: there is nothing to go back to. It stays as it is, for you to look at."
        elif [ "$(revision_in "$deployment" <<< "$now")" != "$revision" ]; then
            if kube rollout undo "deployment/$deployment" --to-revision="$revision"; then returned+=("$deployment"); else stuck+=("$deployment"); continue; fi
            # The last applied configuration goes back too: otherwise the next merge keeps fields in
            # which the two versions differ.
            applied_before "$deployment" | kube apply set-last-applied -f - > /dev/null ||
                warn "deployment/$deployment: its record of what was applied is still of $version"
        fi
    done
    for deployment in ${returned[@]+"${returned[@]}"}; do
        kube rollout status "deployment/$deployment" --timeout="$timeout" || stuck+=("$deployment")
    done
    [ ${#stuck[@]} -eq 0 ] || fail "$1 Going back did not succeed for ${stuck[*]}: look at them now (kubectl --namespace $namespace describe deployment ${stuck[0]})."
    fail "$1 ${#returned[@]} of ${#deployments[@]} Deployments went back to the revision they had; the others had not changed. The databases keep their migrations, with which the earlier version works."
}

# record_release: stores the newest twenty deployments, the newest first, as "VERSION TIME";
# scripts/rollback.sh reads them.
record_release() {
    local name history
    name=$(prefix_of "$environment")-releases
    history=$(kube get configmap "$name" --ignore-not-found --output jsonpath='{.data.history}')
    history=$(printf '%s %s\n%s\n' "$version" "$(date -u +%FT%TZ)" "$history" | grep . | head -n 20)
    kubectl create configmap "$name" --from-literal=history="$history" --dry-run=client --output json | kube apply -f - > /dev/null
}
