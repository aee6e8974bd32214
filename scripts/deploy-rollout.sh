# shellcheck shell=bash
# Steps of a deployment that wait for the cluster, and what follows if they fail. Sourced by
# scripts/deploy.sh, whose variables it reads.
# shellcheck disable=SC2154 # environment, namespace, context, timeout, version, scratch, rendering, jobs, deployments are defined there

kube() { kubectl ${context:+--context "$context"} --namespace "$namespace" "$@"; }

# in_rollout_order RENDERING: prints the names of its Deployments in the order of their roll-out.
# Deployments of no service (a stand-in, a database) come first.
in_rollout_order() {
    local service name known=()
    for service in "${ROLLOUT_ORDER[@]}"; do
        while read -r name; do known+=("$name"); done < <(deployments_of "$1" "$service")
    done
    documents list "$1" | sed -n 's|^Deployment/||p' | grep -vxF -e "$(printf '%s\n' "${known[@]}")" || true
    printf '%s\n' "${known[@]}"
}

# Waits until External Secrets has created the Secrets that it manages.
await_external_secrets() {
    local name
    while read -r name; do
        kube wait --for=condition=Ready "externalsecret/$name" --timeout="$timeout" ||
            fail "ExternalSecret $name is not ready: kubectl --namespace $namespace describe externalsecret $name"
    done < <(documents list "$rendering" | sed -n 's|^ExternalSecret/||p')
}

# secrets_read: prints the Secrets and keys that services and migrations read.
secrets_read() { { secrets_in "$rendering"; secrets_in "$scratch/jobs.yaml"; } | sort -u; }

# Checks that every Secret and key that a pod reads exists; only names are read.
check_secrets() {
    local names
    mapfile -t names < <(secrets_read | cut -d ' ' -f 1 | sort -u)
    # shellcheck disable=SC2016 # the template's variables, not the shell's
    kube get secret "${names[@]}" --ignore-not-found --output go-template='{{range .items}}{{$name := .metadata.name}}{{$name}} *{{"\n"}}{{range $key, $value := .data}}{{$name}} {{$key}}{{"\n"}}{{end}}{{end}}' \
        > "$scratch/secrets" || fail "Cannot list the Secrets of $namespace."
    if secrets_read | grep -vxF -f "$scratch/secrets" > "$scratch/missing"; then
        sed -E "s/^([^ ]*) \*$/\1/; s/^([^ ]*) (.*)/\1, key \2/; s/^/missing in $namespace: Secret /" "$scratch/missing" >&2
        fail "Nothing was rolled out. Create the missing Secrets (docs/operations/secrets.md) and run this again."
    fi
}

# migrate: runs all migration Jobs at once (each has its own database) and waits for them.
migrate() {
    local job failed=() deadline=$((SECONDS + ${timeout%s}))
    say "migrating: ${jobs[*]}"
    # A Job cannot be changed, and a completed one does not run again.
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
    fail "The migration failed. Nothing was rolled out: $namespace runs the same version as before. Repair the migration and deploy again."
}

# explain_pods SELECTOR: prints why the selected pods are not ready, and their last log lines. Logs
# contain no secrets.
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

# deployments_now: prints all Deployments; revision_in NAME: prints the revision of one of them.
deployments_now() { kube get deployments --output json; }
revision_in() { jq --raw-output --arg name "$1" '.items[] | select(.metadata.name == $name) | .metadata.annotations["deployment.kubernetes.io/revision"] // ""'; }

# roll_out: rolls out one Deployment after the other. `before` and `applied` are needed to roll back.
roll_out() {
    local deployment
    before=$(deployments_now)
    applied=()
    trap 'roll_back "The deployment was interrupted."' INT TERM
    for deployment in "${deployments[@]}"; do
        applied+=("$deployment")
        documents only "$scratch/deployments.yaml" "^Deployment/$deployment\$" > "$scratch/one.yaml"
        kube apply -f "$scratch/one.yaml" || roll_back "$deployment was refused."
        if ! kube rollout status "deployment/$deployment" --timeout="$timeout"; then
            warn "$deployment did not become ready with $version:"
            explain_pods "$(deployments_now | selector_in "$deployment")"
            roll_back "$deployment did not become ready."
        fi
    done
    trap - INT TERM
}

selector_in() { jq --raw-output --arg name "$1" '.items[] | select(.metadata.name == $name) | .spec.selector.matchLabels | to_entries | map("\(.key)=\(.value)") | join(",")'; }

# applied_before NAME: prints the configuration of a Deployment that was applied before this run;
# kubectl keeps it in an annotation.
applied_before() {
    jq --arg name "$1" '.items[] | select(.metadata.name == $name) | .metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"] | fromjson' <<< "$before"
}

# roll_back REASON: returns the Deployments that this run changed to their former revisions, and ends
# the script.
roll_back() {
    trap '' INT TERM
    local deployment revision now index returned=() stuck=()
    say "rolling back"
    now=$(deployments_now)
        for ((index = ${#applied[@]} - 1; index >= 0; index--)); do
        deployment=${applied[index]}
        revision=$(revision_in "$deployment" <<< "$before")
        if [ -z "$revision" ]; then
            warn "deployment/$deployment is new and has no former revision. It was left as it is."
        elif [ "$(revision_in "$deployment" <<< "$now")" != "$revision" ]; then
            if kube rollout undo "deployment/$deployment" --to-revision="$revision"; then returned+=("$deployment"); else stuck+=("$deployment"); continue; fi
            # Resets the annotation as well: otherwise the next `apply` would keep fields that only
            # the failed version has.
            applied_before "$deployment" | kube apply set-last-applied -f - > /dev/null ||
                warn "deployment/$deployment: the annotation last-applied-configuration is still that of $version"
        fi
    done
    for deployment in ${returned[@]+"${returned[@]}"}; do
        kube rollout status "deployment/$deployment" --timeout="$timeout" || stuck+=("$deployment")
    done
    [ ${#stuck[@]} -eq 0 ] || fail "$1 Roll-back did not succeed for ${stuck[*]}: look at them now (kubectl --namespace $namespace describe deployment ${stuck[0]})."
    fail "$1 ${#returned[@]} of ${#deployments[@]} Deployments were rolled back to their former revision; the others had not changed. The databases keep the new migrations, with which the former version works."
}

# record_release: adds this deployment to the list that scripts/rollback.sh reads: the newest twenty,
# the newest first, as "VERSION TIME".
record_release() {
    local name history
    name=$(prefix_of "$environment")-releases
    history=$(kube get configmap "$name" --ignore-not-found --output jsonpath='{.data.history}')
    history=$(printf '%s %s\n%s\n' "$version" "$(date -u +%FT%TZ)" "$history" | grep . | head -n 20)
    kubectl create configmap "$name" --from-literal=history="$history" --dry-run=client --output json | kube apply -f - > /dev/null
}
