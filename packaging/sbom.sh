#!/bin/sh
# Writes which crates the shipped program is made of, as CycloneDX 1.5 in JSON: packaging/sbom.sh FILE
#
# cargo-cyclonedx lists those of the daemon and those of the kernel object inside it; both lists become one. It also lists
# optional crates that nobody enables: what cargo's own tree of the build has not is left out. Nothing in the file depends
# on when or where it is made.
set -eu
file=$1
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/tools/toolchain.sh" sbom
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# It writes beside each manifest, so beside copies of them.
tar -C "$root" --exclude=target --create Cargo.toml Cargo.lock exporter exporter-common exporter-ebpf bench tests |
    tar -C "$work" --extract

# FOLDER PACKAGE TARGET: its list, and in PACKAGE.tree what is built
list() {
    (
        cd "$work/$1"
        SOURCE_DATE_EPOCH=0 "$root/target/tools/bin/cargo-cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 \
            --no-build-deps --target "$3" --override-filename sbom >&2
        "${CARGO:-cargo}" tree --locked --package "$2" --edges normal --target "$3" --prefix none --format '{p}' |
            cut -d' ' -f1,2 >"$work/$2.tree"
    )
    folder=$work/$2
    # The kernel side's workspace has the shared crate by a link.
    sed -e "s|exporter-ebpf/exporter-common|exporter-common|g" -e "s|file://$work/|file://|g" "$folder/sbom.json" >"$work/$2.json"
}
list . exporter x86_64-unknown-linux-gnu
list exporter-ebpf exporter-ebpf bpfel-unknown-none

jq --sort-keys --slurpfile kernels "$work/exporter-ebpf.json" \
    --rawfile daemon_tree "$work/exporter.tree" --rawfile kernel_tree "$work/exporter-ebpf.tree" '
    $kernels[0] as $kernel
    | ($daemon_tree + $kernel_tree | split("\n")) as $built
    | .metadata.component."bom-ref" as $daemon
    | .components += $kernel.components + [$kernel.metadata.component | .type = "library"]
    | .components |= map(select("\(.name) v\(.version)" | IN($built[])) | if .purl | contains("file:") then del(.purl) else . end | del(.components))
    | .components |= unique_by(."bom-ref")
    | ([$daemon] + [.components[]."bom-ref"]) as $kept
    | .dependencies = (.dependencies + $kernel.dependencies
        + [{ref: $daemon, dependsOn: [$kernel.metadata.component."bom-ref"]}]
        | map(select(.ref | IN($kept[])))
        | group_by(.ref)
        | map({ref: .[0].ref, dependsOn: ([.[].dependsOn // [] | .[] | select(IN($kept[]))] | unique)}))
    | .metadata.component |= (.name = "yagura" | del(.purl, .components))
    | del(.metadata.timestamp, .metadata.properties)
' "$work/exporter.json" >"$work/whole.json"
install -m 644 -D "$work/whole.json" "$file"
