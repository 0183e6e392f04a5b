#!/bin/sh
# Boots other kernels in QEMU (emulated, so it needs no KVM) and runs live tests there: tools/test-kernels.sh [VERSION…]
#
# VERSION is 6.1 or 6.12, Debian's kernels; without one, both. As root on Debian 12; installs and downloads what is missing.
# Not run there: daemon.rs and hostile.rs, whose floods and deadlines are about throughput, which emulation has none of;
# containers.rs, because a container runtime would need a disk. They run on the machine's own kernel.
# A kernel passes if its console's last word says so: a panic, a hang or a run of no test is a failure.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/target/kernels
# shellcheck source=tools/fetch.sh
. "$root/tools/fetch.sh"
# Emulated, everything takes about twenty times as long, and more where others want the CPU too.
SECONDS_MAX=2400
mkdir -p "$work"

say() { echo "test-kernels: $*"; }
since() { echo $(($(date +%s) - $1)); }

# Sets $package to the newest package of a series, and unpacks it; nothing is installed.
find_kernel() {
    case $1 in
    6.1) meta=linux-image-cloud-amd64 ;;
    *) meta=linux-image-$1-cloud-amd64 ;;
    esac
    package=$(apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
    [ -n "$package" ] || { say "there is no package $meta to be had" >&2; return 1; }
    if [ ! -d "$work/$package" ]; then
        (cd "$work" && again 6 apt-get download -q -o Acquire::Retries=5 "$package" >&2 && dpkg-deb -x "$package"_*.deb "$package.new" &&
            mv "$package.new" "$package" && rm "$package"_*.deb) || { say "cannot get $package" >&2; return 1; }
    fi
}

# The test programs of a package: the lines that cargo prints for what it built.
programs() {
    cargo test --locked --no-run --message-format=json "$@" |
        sed -n 's/.*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1/p'
}

# Copies a program with the libraries it needs to the same place below the image's root.
put() {
    for file; do
        mkdir -p "$image$(dirname "$file")"
        rm -f "$image$file"
        cp -L "$file" "$image$file"
        ldd "$file" 2>/dev/null | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }' | while read -r library; do
            mkdir -p "$image$(dirname "$library")"
            [ -e "$image$library" ] || cp -L "$library" "$image$library"
        done
    done
}

"$root/tools/toolchain.sh" kernels
versions=${*:-"6.1 6.12"}
start=$(date +%s)
cd "$root"
tests=$(programs -p end-to-end --test events --test push_down --test stock_rules --test own_rules)
units=$(programs -p exporter --lib)
[ -n "$tests" ] && [ -n "$units" ] || { say "cargo built no tests" >&2; exit 1; }
say "building took $(since "$start") s"

start=$(date +%s)
image=$work/image
rm -rf "$image"
mkdir -p "$image/proc" "$image/sys" "$image/dev" "$image/tmp" "$image/var/tmp" "$image/run" "$image/root" "$image/etc" "$image/usr/bin" \
    "$image/mnt" "$image/var/log" "$image/var/spool"
ln -s usr/bin "$image/bin"
ln -s usr/bin "$image/sbin"
put /bin/busybox
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$image/bin/$applet"
done
put /bin/sh /bin/bash /bin/true /bin/cat
# Tests run the daemon with it; busybox's knows less.
put /usr/bin/setpriv
cp /etc/passwd /etc/group "$image/etc/"
printf 'root:*:1::::::\n' >"$image/etc/shadow"
chmod 600 "$image/etc/shadow"
printf '127.0.0.1 localhost\n' >"$image/etc/hosts"
# shellcheck disable=SC2086 # lists of words on purpose
put $tests $units "$root/target/debug/actor" "$root/target/debug/yagura-under-test"
find "$image$root/target" -type f -exec strip -g {} +
cp -r "$root/rules" "$image$root/"
[ ! -d "$root/../shared/falco" ] || { mkdir -p "$image$(cd "$root/.." && pwd)/shared"; cp -r "$root/../shared/falco" "$image$(cd "$root/.." && pwd)/shared/"; }
{
    echo '#!/bin/sh'
    echo "cd $root/tests"
    for program in $units; do echo "run $program kernel::live_tests"; done
    for program in $tests; do echo "run $program"; done
} >"$image/tests"
cp "$root/tools/test-kernels-init.sh" "$image/init"
(cd "$image" && find . | cpio -o -H newc --quiet) >"$work/initramfs"
say "the image took $(since "$start") s: $(($(stat -c %s "$work/initramfs") >> 20)) MiB"

boot() {
    began=$(date +%s)
    find_kernel "$1" || return 1
    kernel=$work/$package/boot/vmlinuz-${package#linux-image-}
    log=$work/$1.log
    # The kernel's own module for what the tests need and is not built in, appended to the image.
    modules=$work/$1.modules
    rm -rf "$modules" && mkdir -p "$modules/modules"
    find "$work/${package:?}/lib/modules" -name 'overlay.ko*' -exec cp {} "$modules/modules/" \;
    find "$modules" -name '*.xz' -exec xz -d {} +
    (cd "$modules" && find . | cpio -o -H newc --quiet) | cat "$work/initramfs" - >"$work/$1.initramfs"
    for attempt in 1 2 3; do
        timeout "$SECONDS_MAX" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3G -nographic -nic none -no-reboot \
            -kernel "$kernel" -initrd "$work/$1.initramfs" -append "console=ttyS0 panic=-1 quiet" \
            </dev/null >"$log" 2>&1 || true
        # A kernel patches its own code when a tracepoint comes or goes, with a breakpoint for as long as that takes. The
        # emulator may run what it translated a moment ago, and the kernel then meets a breakpoint that is no longer there.
        # On hardware it cannot: other cores are told first. A test that fails is never tried again.
        grep -q 'Oops: int3' "$log" || break
        say "$1: the emulated CPU ran code that the kernel had patched (int3) at attempt $attempt"
    done
    tr -d '\r' <"$log" | sed -n 's/^\(test .*\|running .*\|=== .*\)/'"$1"': \1/p' | grep -v '\.\.\. ok$' || true
    if tr -d '\r' <"$log" | grep -q '^=== all passed'; then
        say "$1 ($(basename "$kernel")) passed in $(since "$began") s"
    else
        say "$1 FAILED after $(since "$began") s; the end of $log:" >&2
        tail -n 150 "$log" >&2
        return 1
    fi
}

failed=
for version in $versions; do boot "$version" || failed="$failed $version"; done
[ -z "$failed" ] || { say "failed:$failed" >&2; exit 1; }
