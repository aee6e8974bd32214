#!/usr/bin/env bash
# Shows or switches the colour of an environment (of reminder-service and notification-service) that
# clients reach.
#
#   scripts/blue-green.sh status ENVIRONMENT                 which one, and how both are
#   scripts/blue-green.sh switch ENVIRONMENT [--to COLOUR]   lead clients to the other one, once it is ready for all of them
#   scripts/blue-green.sh back ENVIRONMENT                   lead them back to the one before, at once
#   scripts/blue-green.sh idle ENVIRONMENT                   print the colour that they do not reach: the one to deploy to
#
#   --context NAME     kubectl's context (default: the current one)
#   --namespace NAME   where the environment is (default: its name)
#   --timeout TIME     how long the colour may take to become ready (600s)
#
# The switch is the label reminders/colour in the selector of the two Services. The manifests do not
# contain it, so applying them does not change it. Before a switch the other colour gets as many
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
        --timeout) timeout=${2:?a time, like 600s}; shift 2 ;;
        --to) to=${2:?blue or green}; shift 2 ;;
        -*) fail "Unknown option: $1. See --help." ;;
        *) arguments+=("$1"); shift ;;
    esac
done
[ ${#arguments[@]} -eq 2 ] || { usage >&2; exit 2; }
action=${arguments[0]} environment=${arguments[1]}
[[ $timeout =~ ^[0-9]+s$ ]] || fail "Not a time: $timeout. It is in seconds, like 600s."
[[ $to =~ ^(blue|green|)$ ]] || fail "Not a colour: $to. It is blue or green."
[ -z "$to" ] || [ "$action" = switch ] || fail "--to goes with switch."
namespace=${namespace:-$environment}
command -v kubectl > /dev/null || fail "Missing: kubectl. Install it and run again."

kube() { kubectl ${context:+--context "$context"} --namespace "$namespace" "$@"; }
other() { if [ "$1" = blue ]; then echo green; else echo blue; fi; }

# look: reads everything at one moment. `services` are the two public ones; `colour_of` and
# `before_of` are the present and former colour of each; `ready`, `wanted` and `image` are known of
# each coloured Deployment.
look() {
    local kind name colour leads_to led_to count of what
    services=() deployments=()
    declare -gA colour_of=() before_of=() painted=() ready=() wanted=() image=()
    # shellcheck disable=SC2016 # $ is the template's
    kube get services,deployments --selector 'app.kubernetes.io/name in (reminder-service,notification-service)' --output go-template='
        {{- define "or"}}{{if .}}{{.}}{{else}}-{{end}}{{end}}
        {{- range .items}}{{.kind}} {{.metadata.name}} {{template "or" index (or .metadata.labels .metadata) "reminders/colour"}}
            {{- if eq .kind "Service"}} {{template "or" index .spec.selector "reminders/colour"}} {{/* the blank before it */ -}}
                {{with .metadata.annotations}}{{template "or" index . "reminders/colour-before"}}{{else}}-{{end}} - -
            {{- else}} - - {{or .status.readyReplicas 0}} {{.spec.replicas}} {{(index .spec.template.spec.containers 0).image}}{{end}}
        {{end}}' > "$scratch/seen" || fail "Cannot look into the namespace $namespace (above)."
    while read -r kind name colour leads_to led_to count of what; do
        case $kind:$colour in
            Service:-) services+=("$name") colour_of[$name]=${leads_to#-} before_of[$name]=${led_to#-} ;;
            Deployment:blue | Deployment:green)
                deployments+=("$name") painted[$name]=$colour ready[$name]=$count wanted[$name]=$of image[$name]=$what ;;
        esac
    done < "$scratch/seen"
    [ "${#services[@]}" -eq 2 ] || fail "The namespace $namespace has not the Services of reminder-service and notification-service: is $environment deployed there?"
    [ "${#deployments[@]}" -eq 4 ] ||
        fail "$environment has no colours. Add them to its overlay (k8s/overlays/$environment/kustomization.yaml, components: colours) and deploy."
    now=${colour_of[${services[0]}]} before=${before_of[${services[0]}]} mixed=
    [ "$now" = "${colour_of[${services[1]}]}" ] || mixed=yes
}

status() {
    local colour deployment service
    if [ -n "$mixed" ]; then
        echo "$environment: the Services lead to different colours; scripts/blue-green.sh switch $environment --to blue (or green)"
        for service in "${services[@]}"; do echo "  $service leads to ${colour_of[$service]:-both}"; done
    elif [ -z "$now" ]; then
        echo "$environment: clients reach both colours; it was never switched (scripts/blue-green.sh switch $environment --to blue)"
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

# make_room COLOUR: requests as many pods of it as clients use now; `room` is the number for each of
# its Deployments.
make_room() {
    local deployment count
    declare -gA room=()
    for deployment in "${deployments[@]}"; do
        [ "${painted[$deployment]}" = "$1" ] || continue
        count=1
        if [ -n "$now" ] && [ "$now" != "$1" ]; then count=${ready[${deployment%"$1"}$now]}; fi
        room[$deployment]=$count
        if [ "${ready[$deployment]}" -lt "$count" ]; then
            kube patch "horizontalpodautoscaler/$deployment" --type=merge --field-manager=blue-green --patch "{\"spec\":{\"minReplicas\":$count}}"
        fi
    done
}

await_room() {
    local deployment deadline=$((SECONDS + ${timeout%s}))
    for deployment in "${!room[@]}"; do
        kube rollout status "deployment/$deployment" --timeout="$timeout" || fail "$deployment is not rolled out; clients reach ${now:-both} as before."
        while [ "${ready[$deployment]}" -lt "${room[$deployment]}" ]; do
            [ "$SECONDS" -lt "$deadline" ] || fail "$deployment has ${ready[$deployment]} ready pods and needs ${room[$deployment]}; clients reach ${now:-both} as before."
            sleep "${POLL_SECONDS:-2}"
            look
        done
    done
}

# set_colour SERVICE COLOUR BEFORE; an empty value removes the label or the note.
set_colour() {
    kube patch "service/$1" --type=merge --field-manager=blue-green \
        --patch "{\"spec\":{\"selector\":{\"reminders/colour\":${2:+\"}${2:-null}${2:+\"}}},\"metadata\":{\"annotations\":{\"reminders/colour-before\":${3:+\"}${3:-null}${3:+\"}}}}"
}

# lead_to COLOUR: switches both Services or neither.
lead_to() {
    local service taken done=()
    for service in "${services[@]}"; do
        if set_colour "$service" "$1" "${colour_of[$service]}"; then done+=("$service"); continue; fi
        for taken in ${done[@]+"${done[@]}"}; do set_colour "$taken" "${colour_of[$taken]}" "${before_of[$taken]}" || true; done
        fail "Not switched: ${#done[@]} of 2 Services took the change and were set back. See above what refused it, then scripts/blue-green.sh status $environment."
    done
    echo "$environment: clients reach $1${now:+; before, they reached $now}"
}

scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
look
[ -z "$mixed" ] || [ "$action" = status ] || [ -n "$to" ] || { status >&2 || true; exit 1; }

case $action in
    status) status ;;
    idle)
        [ -n "$now" ] || fail "$environment was never switched: clients reach both colours."
        other "$now"
        ;;
    switch)
        to=${to:-${now:+$(other "$now")}}
        [ -n "$to" ] || fail "$environment was never switched: say where to (--to blue)."
        if [ "$to" = "$now" ] && [ -z "$mixed" ]; then echo "$environment: clients reach $to already"; exit; fi
        make_room "$to"
        await_room
        lead_to "$to"
        ;;
    back)
        [ -n "$before" ] || fail "There is nothing to go back to: $environment was not switched, or only once."
        for deployment in "${deployments[@]}"; do
            [ "${painted[$deployment]}" != "$before" ] || [ "${ready[$deployment]}" -gt 0 ] ||
                fail "$deployment has no ready pod: going back would reach nobody. kubectl --namespace $namespace describe deployment/$deployment"
        done
        # Does not wait for pods: the present error is worse than a minute of few pods.
        make_room "$before"
        lead_to "$before"
        ;;
    *) fail "No action $action: it is status, switch, back or idle. See --help." ;;
esac
