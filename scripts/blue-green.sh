#!/usr/bin/env bash
# Shows or switches the colour (of reminder-service and notification-service) that clients of an
# environment reach.
#
#   scripts/blue-green.sh status ENVIRONMENT                 shows the colour that clients reach, and the pods of both
#   scripts/blue-green.sh switch ENVIRONMENT [--to COLOUR]   switches to the other colour when enough of its pods are ready
#   scripts/blue-green.sh back ENVIRONMENT                   switches back to the colour before, at once
#   scripts/blue-green.sh idle ENVIRONMENT                   prints the colour that clients do not reach: deploy to this one
#
#   --context NAME     kubectl's context (default: the current one)
#   --namespace NAME   namespace of the environment (default: its name)
#   --timeout TIME     time within which the colour must become ready (600s)
#
# The label reminders/colour in the selector of the two Services decides. The manifests do not
# contain it, so applying them does not switch. Before a switch the other colour gets as many
# pods as clients use now; the next deployment resets its autoscaler's minimum. Both colours use the
# same databases and queues (k8s/components/blue-green).
set -euo pipefail

fail() { printf '%s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$0"; }

context='' namespace='' to='' timeout=600s
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit ;;
        --context) context=${2:?a context}; shift 2 ;;
        --namespace) namespace=${2:?a namespace}; shift 2 ;;
        --timeout) timeout=${2:?a time, such as 600s}; shift 2 ;;
        --to) to=${2:?blue or green}; shift 2 ;;
        -*) fail "Unknown option: $1. See --help." ;;
        *) arguments+=("$1"); shift ;;
    esac
done
[ ${#arguments[@]} -eq 2 ] || { usage >&2; exit 2; }
action=${arguments[0]} environment=${arguments[1]}
[[ $timeout =~ ^[0-9]+s$ ]] || fail "Not a time: $timeout. Expected seconds, such as 600s."
[[ $to =~ ^(blue|green|)$ ]] || fail "Not a colour: $to. Expected blue or green."
[ -z "$to" ] || [ "$action" = switch ] || fail "--to goes with switch."
namespace=${namespace:-$environment}
command -v kubectl > /dev/null || fail "Missing: kubectl. Install it and run again."

kube() { kubectl ${context:+--context "$context"} --namespace "$namespace" "$@"; }
other() { if [ "$1" = blue ]; then echo green; else echo blue; fi; }

# read_state: reads all Services and Deployments with one call. `services` are the two public
# Services, `colour_of` and `before_of` the present and former colour of each; `ready`, `wanted` and
# `image` are those of each Deployment that has a colour.
read_state() {
    local kind name colour present former count of what
    services=() deployments=()
    declare -gA colour_of=() before_of=() painted=() ready=() wanted=() image=()
    # shellcheck disable=SC2016 # $ is the template's
    kube get services,deployments --selector 'app.kubernetes.io/name in (reminder-service,notification-service)' --output go-template='
        {{- define "or"}}{{if .}}{{.}}{{else}}-{{end}}{{end}}
        {{- range .items}}{{.kind}} {{.metadata.name}} {{template "or" index (or .metadata.labels .metadata) "reminders/colour"}}
            {{- if eq .kind "Service"}} {{template "or" index .spec.selector "reminders/colour"}} {{/* the blank before it */ -}}
                {{with .metadata.annotations}}{{template "or" index . "reminders/colour-before"}}{{else}}-{{end}} - -
            {{- else}} - - {{or .status.readyReplicas 0}} {{.spec.replicas}} {{(index .spec.template.spec.containers 0).image}}{{end}}
        {{end}}' > "$scratch/seen" || fail "Cannot read the namespace $namespace (above)."
    while read -r kind name colour present former count of what; do
        case $kind:$colour in
            Service:-) services+=("$name") colour_of[$name]=${present#-} before_of[$name]=${former#-} ;;
            Deployment:blue | Deployment:green)
                deployments+=("$name") painted[$name]=$colour ready[$name]=$count wanted[$name]=$of image[$name]=$what ;;
        esac
    done < "$scratch/seen"
    [ "${#services[@]}" -eq 2 ] || fail "The namespace $namespace does not have the Services of reminder-service and notification-service. Deploy $environment first, or name another --namespace."
    [ "${#deployments[@]}" -eq 4 ] ||
        fail "$environment has no colours. Add them to its overlay (k8s/overlays/$environment/kustomization.yaml, components: colours) and deploy."
    now=${colour_of[${services[0]}]} before=${before_of[${services[0]}]} mixed=
    [ "$now" = "${colour_of[${services[1]}]}" ] || mixed=yes
}

status() {
    local colour deployment service
    if [ -n "$mixed" ]; then
        echo "$environment: the Services select different colours; run scripts/blue-green.sh switch $environment --to blue (or green)"
        for service in "${services[@]}"; do echo "  $service selects ${colour_of[$service]:-both}"; done
    elif [ -z "$now" ]; then
        echo "$environment: clients reach both colours, because it was never switched; run scripts/blue-green.sh switch $environment --to blue"
    else
        echo "$environment: clients reach $now${before:+; before, they reached $before}"
    fi
    for colour in blue green; do
        for deployment in "${deployments[@]}"; do
            [ "${painted[$deployment]}" != "$colour" ] || printf '  %-5s  %-34s %s of %s ready  %s\n' "$colour" "$deployment" \
                "${ready[$deployment]}" "${wanted[$deployment]}" "${image[$deployment]}"
        done
    done
    [ -n "$now" ] && [ -z "$mixed" ]
}

# request_pods COLOUR: requests as many pods of a colour as clients use now. `needed` is the number
# for each of its Deployments.
request_pods() {
    local deployment count
    declare -gA needed=()
    for deployment in "${deployments[@]}"; do
        [ "${painted[$deployment]}" = "$1" ] || continue
        count=1
        if [ -n "$now" ] && [ "$now" != "$1" ]; then count=${ready[${deployment%"$1"}$now]}; fi
        needed[$deployment]=$count
        if [ "${ready[$deployment]}" -lt "$count" ]; then
            kube patch "horizontalpodautoscaler/$deployment" --type=merge --field-manager=blue-green --patch "{\"spec\":{\"minReplicas\":$count}}"
        fi
    done
}

await_pods() {
    local deployment deadline=$((SECONDS + ${timeout%s}))
    for deployment in "${!needed[@]}"; do
        kube rollout status "deployment/$deployment" --timeout="$timeout" || fail "$deployment is not rolled out. Not switched: clients reach ${now:-both} as before."
        while [ "${ready[$deployment]}" -lt "${needed[$deployment]}" ]; do
            [ "$SECONDS" -lt "$deadline" ] || fail "$deployment has ${ready[$deployment]} ready pods and needs ${needed[$deployment]}. Not switched: clients reach ${now:-both} as before."
            sleep "${POLL_SECONDS:-2}"
            read_state
        done
    done
}

# set_colour SERVICE COLOUR BEFORE: an empty value removes the label or the annotation.
set_colour() {
    kube patch "service/$1" --type=merge --field-manager=blue-green \
        --patch "{\"spec\":{\"selector\":{\"reminders/colour\":${2:+\"}${2:-null}${2:+\"}}},\"metadata\":{\"annotations\":{\"reminders/colour-before\":${3:+\"}${3:-null}${3:+\"}}}}"
}

# switch_to COLOUR: switches both Services or neither.
switch_to() {
    local service changed done=()
    for service in "${services[@]}"; do
        if set_colour "$service" "$1" "${colour_of[$service]}"; then done+=("$service"); continue; fi
        for changed in ${done[@]+"${done[@]}"}; do set_colour "$changed" "${colour_of[$changed]}" "${before_of[$changed]}" || true; done
        fail "Not switched: $service refused the change (above); ${#done[@]} of 2 Services had been changed and were reset. Check with scripts/blue-green.sh status $environment."
    done
    echo "$environment: clients reach $1${now:+; before, they reached $now}"
}

scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
read_state
[ -z "$mixed" ] || [ "$action" = status ] || [ -n "$to" ] || { status >&2 || true; exit 1; }

case $action in
    status) status ;;
    idle)
        [ -n "$now" ] || fail "$environment was never switched: clients reach both colours."
        other "$now"
        ;;
    switch)
        to=${to:-${now:+$(other "$now")}}
        [ -n "$to" ] || fail "$environment was never switched: name the colour (--to blue)."
        if [ "$to" = "$now" ] && [ -z "$mixed" ]; then echo "$environment: clients reach $to already"; exit; fi
        request_pods "$to"
        await_pods
        switch_to "$to"
        ;;
    back)
        [ -n "$before" ] || fail "There is no colour to switch back to: $environment was not switched, or only once."
        for deployment in "${deployments[@]}"; do
            [ "${painted[$deployment]}" != "$before" ] || [ "${ready[$deployment]}" -gt 0 ] ||
                fail "$deployment has no ready pod, so clients would reach none. See kubectl --namespace $namespace describe deployment/$deployment"
        done
        # Does not wait for pods: a faulty version is worse than too few pods for a minute.
        request_pods "$before"
        switch_to "$before"
        ;;
    *) fail "Unknown action: $action. Expected status, switch, back or idle." ;;
esac
