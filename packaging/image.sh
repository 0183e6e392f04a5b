#!/bin/sh
# Builds the container image: packaging/image.sh [NAME], yagura:VERSION by default. Needs Docker; DOCKER_HOST says which.
# BUILD_PROFILE=dev builds it as tests do.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
name=${1:-yagura:$version}
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
"$root/packaging/static.sh" "$context/yagura"
"$root/packaging/sbom.sh" "$context/yagura.cdx.json"
"$root/tools/toolchain.sh" certificates
cp "$root/packaging/Dockerfile" /etc/ssl/certs/ca-certificates.crt "$context/"
docker build --tag "$name" "$context" >&2
echo "$name: $(stat -c %s "$context/yagura") bytes"
