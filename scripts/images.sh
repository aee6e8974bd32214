#!/usr/bin/env bash
# Builds the images of the suite, <registry>/<service>:{VERSION}-{ENV}. `make images VERSION=2.0.0
# ENV=dev` calls this script.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
Usage: scripts/images.sh [--push] [SERVICE...]

Without a SERVICE, the four services are built. Further images: suite, sandbox (for local use).

  VERSION      the version that the binaries print for --version  (default: that of the workspace)
  ENV          suffix of the tag: dev, stg or prod                (default: dev)
  REGISTRY     prefix of the names, such as registry.example.com/reminders
  ENGINE       docker, podman or buildah                          (default: the first that works)
  BUILD_ARGS   further arguments of the engine's build, separated by spaces
TEXT
}
fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }

push=no
services=()
for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        --push) push=yes ;;
        -*) usage >&2; fail "unknown option $argument" ;;
        *) services+=("$argument") ;;
    esac
done
[ ${#services[@]} -gt 0 ] || services=(reminder-service event-service notification-scheduler notification-service)
for service in "${services[@]}"; do
    case $service in
        reminder-service | event-service | notification-scheduler | notification-service | suite | sandbox) ;;
        *) fail "unknown image $service; see --help" ;;
    esac
done

version=${VERSION:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)}
environment=${ENV:-dev}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "VERSION=$version: expected a version such as 2.0.0 or 2.1.0-rc.1"
[[ $environment =~ ^(dev|stg|prod)$ ]] || fail "ENV=$environment: expected dev, stg or prod"

engine=${ENGINE:-}
if [ -z "$engine" ]; then
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then engine=docker
    elif command -v podman >/dev/null; then engine=podman
    elif command -v buildah >/dev/null; then engine=buildah
    else fail 'Missing: docker, podman or buildah'; fi
fi
case $engine in
    docker) build=(docker build) ;;
    podman) build=(podman build --format docker) ;; # only this format has HEALTHCHECK
    buildah) build=(buildah build --format docker --layers) ;;
    *) fail "ENGINE=$engine: expected docker, podman or buildah" ;;
esac
read -ra more <<< "${BUILD_ARGS:-}"
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

for service in "${services[@]}"; do
    tag=${REGISTRY:+${REGISTRY%/}/}$service:$version-$environment
    printf '\033[1m== %s (%s of %s s)\033[0m\n' "$tag" "$engine" "$SECONDS"
    "${build[@]}" "${more[@]}" --build-arg "SERVICE=$service" --build-arg "VERSION=$version" \
        --build-arg "REVISION=$revision" --tag "$tag" .
    if [ "$push" = yes ]; then "$engine" push "$tag"; fi
done
