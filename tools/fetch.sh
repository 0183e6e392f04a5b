# Sourced by the scripts that fetch what a machine lacks. Whoever is asked may be away for a while, so each is asked again.
# shellcheck shell=sh

# Runs a command until it succeeds, so many times at most.
again() {
    left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        echo "again in 20 s: $*" >&2
        sleep 20
    done
}

# Installs packages of Debian's.
install_packages() {
    again 6 update_and_install "$@"
}

# A fresh machine may be installing upgrades by itself. There is an option for the lock of packages, none for that of lists.
update_and_install() {
    apt-get update -q -o Acquire::Retries=5 &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 \
            --no-install-recommends "$@"
}
