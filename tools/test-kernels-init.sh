#!/bin/sh
# The first process of a machine made by test-kernels.sh: runs the tests, says how it went, and switches off.
export PATH=/bin HOME=/root RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /var/tmp
mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
mount --make-rshared / 2>/dev/null
for module in /modules/*.ko; do insmod "$module"; done
ip link set lo up
hostname kernel-test

ran=0
failed=
run() {
    program=$1
    shift
    name=$(basename "$program" | sed 's/-[0-9a-f]*$//')
    began=$(date +%s)
    "$program" "$@" >/run/output 2>&1
    status=$?
    cat /run/output
    count=$(sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' /run/output)
    echo "=== $name: status $status, ${count:-0} passed in $(($(date +%s) - began)) s"
    ran=$((ran + ${count:-0}))
    [ "$status" = 0 ] && [ "${count:-0}" -gt 0 ] || failed="$failed $name"
}

echo "=== kernel $(uname -r)"
# shellcheck disable=SC1091 # made by test-kernels.sh
. /tests
echo "=== $ran tests passed on $(uname -r)"
if [ -n "$failed" ]; then echo "=== failed:$failed"; else echo "=== all passed"; fi
poweroff -f
