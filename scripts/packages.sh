#!/usr/bin/env bash
# Functions of setup.sh and verify.sh that install packages of the operating system. They list the
# packages first, and leave no service that runs or starts at boot.

say() { printf '\033[1m%s\033[0m\n' "$*"; }
fail() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }

# Packages that setup.sh or verify.sh finds missing.
# shellcheck disable=SC2034 # read by that script
missing=()

has_postgres() {
    command -v initdb >/dev/null && command -v postgres >/dev/null && return 0
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return 0
    command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/initdb" ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_update() {
    say "refreshing apt's package lists"
    as_root apt-get update -qq
}

# Installs packages and their dependencies.
apt_install() {
    command -v apt-get >/dev/null || fail "Missing: $*. Install it with this system's package manager and run again."
    apt_update
    say "installing $* from this system's packages; this adds:"
    apt-get install --simulate --no-install-recommends "$@" | awk '$1 == "Inst" { print "  " $2 }'
    case " $* " in
        *' postgresql '*)
            say "  (PostgreSQL's binaries only: no cluster is created, so no server starts, now or at boot)"
            apt_get_install postgresql-common
            without_cluster apt_get_install "$@"
            ;;
        *) apt_get_install "$@" ;;
    esac
}

apt_get_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Runs a command while Debian's PostgreSQL packages create no cluster; restores the setting.
without_cluster() {
    local settings=/etc/postgresql-common/createcluster.conf status=0
    as_root cp -p "$settings" "$settings.before"
    echo 'create_main_cluster = false' | as_root tee -a "$settings" >/dev/null
    "$@" || status=$?
    as_root mv "$settings.before" "$settings"
    return "$status"
}

# Downloads a package into the current folder.
download() {
    apt-get download -qq -o APT::Sandbox::User=root "$1"
}

# Unpacks one program of a package into a folder. The package itself, with its services and scripts,
# is not installed.
apt_unpack() { # package, path of the program in the package, folder
    local scratch
    command -v apt-get >/dev/null || fail "Missing: $(basename "$2"). Install it and run again."
    apt-cache show "$1" >/dev/null 2>&1 || apt_update
    say "unpacking $(basename "$2") from the package $1 into $3 (the package, with its service, is not installed)"
    scratch=$(mktemp -d)
    (cd "$scratch" && { download "$1" || { apt_update && download "$1"; }; } && dpkg -x ./*.deb .)
    mkdir -p "$3"
    install -m 755 "$scratch$2" "$3/"
    rm -rf "$scratch"
}
