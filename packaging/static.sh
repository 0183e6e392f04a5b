#!/bin/sh
# Builds the daemon as one file that needs no other: packaging/static.sh FILE
#
# It is linked with glibc's libc.a (Debian's libc6-dev), so that only the last step differs from the usual build. Names
# are looked up by its own "files" and "dns"; no library is loaded, and no nsswitch.conf is needed.
# BUILD_PROFILE=dev builds it as tests do.
set -eu
file=$1
profile=${BUILD_PROFILE:-release}
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/tools/toolchain.sh" rust
cd "$root"
# From a test, cargo's variables for that test: dependencies would be built anew because they differ.
for variable in $(env | sed -n 's/^\(CARGO_\(MANIFEST\|PKG\|CRATE\|BIN\|PRIMARY\)[A-Z_]*\)=.*/\1/p'); do
    unset "$variable"
done
"${CARGO:-cargo}" rustc --locked -p exporter --bin yagura --profile "$profile" -- -C target-feature=+crt-static
case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
mkdir -p "$(dirname "$file")"
strip -o "$file" "${CARGO_TARGET_DIR:-target}/$folder/yagura"
if readelf --program-headers "$file" | grep -q INTERP; then
    echo "static.sh: $file needs a loader" >&2
    exit 1
fi
