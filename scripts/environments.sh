# shellcheck shell=bash
# Functions of the pipeline's scripts: names of an environment, its rendering, and the order in
# which its services are rolled out. Sourced, not run.
#
# An environment is a folder of k8s/overlays. Its namespace and prefix are read from its
# kustomization.yaml, so a clone needs no registration elsewhere.

# Folder of the manifests: k8s of this checkout, or of another.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MANIFESTS=${MANIFESTS:-$ROOT/k8s}

# Registry of the images: <registry>/<service>:<version>-<prefix>.
REGISTRY=${REGISTRY:-registry.example.com/reminders}

# Readers of a message come before its writers: event-service reads messages of reminder-service and
# notification-service, and notification-service those of the scheduler. The service that clients
# call comes last, when the services behind it are new.
# shellcheck disable=SC2034 # read by the scripts that source this file
ROLLOUT_ORDER=(event-service notification-service notification-scheduler reminder-service)

say() { printf '\033[1m%s\033[0m\n' "$*"; }
warn() { printf '\033[33m%s\033[0m\n' "$*" >&2; }
fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }

# Prints the header comment of the calling script as its help.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$0"; }

# need TOOL...: fails with the name of the first tool that is missing.
need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "Missing: $tool. Install it and run again."
    done
}

# check_version VERSION: fails unless VERSION can be part of an image's tag.
check_version() {
    [[ $1 =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "Not a version: $1. Expected the form 2.0.0 or 2.0.0-g4e7d01f0a1b2 (scripts/version.sh)."
}

# overlay_of ENVIRONMENT: prints its folder.
overlay_of() {
    local folder=$MANIFESTS/overlays/$1
    [ -f "$folder/kustomization.yaml" ] || fail "No environment $1: k8s/overlays/$1/kustomization.yaml does not exist. Environments: $(environments | paste -sd ' ')."
    printf '%s\n' "$folder"
}

# environments: prints the names of all environments.
environments() {
    local file
    for file in "$MANIFESTS"/overlays/*/kustomization.yaml; do
        if [ -f "$file" ]; then basename "$(dirname "$file")"; fi
    done
}

# Selects documents of a rendering (the output of `kubectl kustomize`) by kind and name. It relies on
# the canonical form: top-level keys begin a line, those of metadata are indented by two.
#   documents list FILE               prints kind and name of each document
#   documents only FILE REGEX         prints the documents whose "Kind/name" matches
#   documents without FILE REGEX      prints the other documents
documents() {
    awk -v want="$1" -v pattern="${3:-}" '
        function finish() {
            id = kind "/" name
            if (kind != "") {
                if (want == "list") print id
                else if ((id ~ pattern) == (want == "only")) printf "---\n%s", text
            }
            text = kind = name = section = ""
        }
        /^---$/ { finish(); next }
        { text = text $0 "\n" }
        /^[A-Za-z]/ { section = $1 }
        /^kind: / { kind = $2 }
        section == "metadata:" && /^  name: / { name = $2; gsub(/"/, "", name) }
        END { finish() }' "$2"
}

# prefix_of ENVIRONMENT: prints the prefix of its names, without the hyphen. namespace_of
# ENVIRONMENT: prints its namespace.
prefix_of() { local value; value=$(overlay_field "$1" namePrefix); printf '%s\n' "${value%-}"; }
namespace_of() { overlay_field "$1" namespace; }
overlay_field() {
    local folder value
    folder=$(overlay_of "$1")
    value=$(sed -n "s/^$2: *//p" "$folder/kustomization.yaml")
    [ -n "$value" ] || fail "k8s/overlays/$1/kustomization.yaml has no $2."
    printf '%s\n' "$value"
}

# deployments_of RENDERING SERVICE: prints the Deployments of a service; there are two if it has
# colours.
deployments_of() { documents list "$1" | sed -nE "s#^Deployment/(.*$2(-blue|-green)?)\$#\1#p"; }

# render ENVIRONMENT VERSION [PART]: renders the environment, or a part of it (migrate), with the
# images and the label of a version.
render() {
    local folder work prefix service
    folder=$(overlay_of "$1")${3:+/$3}
    [ -f "$folder/kustomization.yaml" ] || fail "k8s/overlays/$1 has no $3, so scripts cannot deploy it. Use kubectl apply -k k8s/overlays/$1"
    prefix=$(prefix_of "$1")
    work=$(mktemp -d)
    cp -R "$MANIFESTS" "$work/k8s"
    "$work/k8s/set-version.sh" "$2" "$1"
    {
        printf '# %s\nresources: [k8s%s]\n' "$folder" "${folder#"$MANIFESTS"}"
        # A label for people and for selectors of dashboards, and the text that `kubectl rollout
        # history` shows. Only Deployments and Jobs have them, so that no other object changes with
        # each version.
        cat <<YAML
transformers:
  - |
    apiVersion: builtin
    kind: LabelTransformer
    metadata: {name: version}
    labels: {app.kubernetes.io/version: "$2"}
    fieldSpecs:
      - {kind: Deployment, path: metadata/labels, create: true}
      - {kind: Deployment, path: spec/template/metadata/labels, create: true}
      - {kind: Job, path: metadata/labels, create: true}
      - {kind: Job, path: spec/template/metadata/labels, create: true}
  - |
    apiVersion: builtin
    kind: AnnotationsTransformer
    metadata: {name: cause}
    annotations: {kubernetes.io/change-cause: "$2"}
    fieldSpecs: [{kind: Deployment, path: metadata/annotations, create: true}]
images:
YAML
        # kustomize reads the name as a regular expression: this one matches an image of the suite in
        # any registry.
        for service in "${ROLLOUT_ORDER[@]}"; do
            printf '  - {name: "(.*/)?%s", newName: "%s", newTag: "%s"}\n' "$service" "$REGISTRY/$service" "$2-$prefix"
        done
    } > "$work/kustomization.yaml"
    kubectl kustomize "$work" || { rm -r "$work"; fail "$folder cannot be rendered with version $2 (above)."; }
    rm -r "$work"
}

# secrets_in RENDERING: prints each Secret and key that pods read, as "NAME KEY"; the key is * if
# they read the whole Secret.
secrets_in() {
    documents only "$1" '^(Deployment|Job|CronJob|StatefulSet)/' | awk '
        function finish(    key) {
            if (name != "" && !optional) { if (count == 0) print name, "*"; for (key in keys) print name, key }
            name = ""; inside = optional = count = 0; delete keys
        }
        { match($0, /^ */); depth = RLENGTH }
        inside && depth <= column { finish() }
        /^ *(- )?(secretKeyRef|secretRef|secret):$/ { finish(); match($0, /^ *(- )?/); column = RLENGTH; inside = 1; next }
        !inside { next }
        { sub(/^ *(- )?/, "") }
        $1 == "name:" || $1 == "secretName:" { name = $2 }
        $1 == "key:" { keys[$2] = 1; count++ }
        $1 == "optional:" { optional = $2 == "true" }
        END { finish() }' | sort -u
}
