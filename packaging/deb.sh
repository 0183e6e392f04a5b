#!/bin/sh
# Builds yagura_VERSION_amd64.deb in a folder: packaging/deb.sh [FOLDER], target/ by default.
# BUILD_PROFILE=dev builds the daemon as tests do; YAGURA names one that is built already.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/target}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
umask 022

mkdir -p "$tree/usr/bin" "$tree/lib/systemd/system" "$tree/etc/yagura" "$tree/usr/share/doc/yagura" "$tree/DEBIAN"
if [ -n "${YAGURA:-}" ]; then
    cp "$YAGURA" "$tree/usr/bin/yagura"
else
    "$root/packaging/static.sh" "$tree/usr/bin/yagura"
fi
cp "$root/packaging/yagura.service" "$tree/lib/systemd/system/"
# What may need a token or a key is nobody else's to read.
install -m 600 "$root/packaging/yagura.yaml" "$tree/etc/yagura/yagura.yaml"
cp "$root/LICENSE" "$tree/usr/share/doc/yagura/copyright"
"$root/packaging/sbom.sh" "$tree/usr/share/doc/yagura/yagura.cdx.json"
gzip -9n <"$root/CHANGELOG.md" >"$tree/usr/share/doc/yagura/changelog.gz"

cat >"$tree/DEBIAN/control" <<EOF
Package: yagura
Version: $version
Architecture: amd64
Maintainer: The Yagura authors <yagura@localhost>
Section: admin
Priority: optional
Recommends: ca-certificates
Installed-Size: $(du -ks "$tree/usr" | cut -f1)
Description: notify-only runtime-security detector
 Observes system calls through eBPF, decides with rules in Falco's language,
 and tells: on stdout, in a journal, to receivers, in metrics. It never kills,
 blocks, signals or alters a workload. The kernel must be 5.17 or newer.
EOF
echo /etc/yagura/yagura.yaml >"$tree/DEBIAN/conffiles"

# As debhelper writes them. Without systemd there is nothing to do.
cat >"$tree/DEBIAN/postinst" <<'EOF'
#!/bin/sh
set -e
case "$1" in
    configure | abort-upgrade | abort-deconfigure | abort-remove) ;;
    *) exit 0 ;;
esac
if command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper unmask yagura.service >/dev/null || true
    # A unit that nobody has seen yet counts as enabled. One that was disabled stays so.
    if deb-systemd-helper --quiet was-enabled yagura.service; then
        deb-systemd-helper enable yagura.service >/dev/null || true
    else
        deb-systemd-helper update-state yagura.service >/dev/null || true
    fi
fi
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    # It does not start what was disabled.
    if [ -n "$2" ]; then
        deb-systemd-invoke restart yagura.service >/dev/null || true
    else
        deb-systemd-invoke start yagura.service >/dev/null || true
    fi
fi
EOF
cat >"$tree/DEBIAN/prerm" <<'EOF'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop yagura.service >/dev/null || true
fi
EOF
cat >"$tree/DEBIAN/postrm" <<'EOF'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ]; then
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper purge yagura.service >/dev/null || true
    fi
    rm -rf /var/lib/yagura
fi
EOF
chmod 755 "$tree/DEBIAN/postinst" "$tree/DEBIAN/prerm" "$tree/DEBIAN/postrm"

mkdir -p "$folder"
dpkg-deb --root-owner-group --build "$tree" "$folder/yagura_${version}_amd64.deb" >&2
echo "$folder/yagura_${version}_amd64.deb"
