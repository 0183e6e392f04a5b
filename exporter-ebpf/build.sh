#!/bin/sh
# Builds the kernel object, exporter-ebpf/objects/yagura.bpf.o, byte for byte reproducibly.
#
#   exporter-ebpf/build.sh           build it and write it to objects/
#   exporter-ebpf/build.sh --check   build it and fail if the one in objects/ is another
#
# On Debian 12 as root it first installs what is missing: Debian's Rust with its library source, LLVM's library,
# a strip that knows BPF, and bpf-linker. rustup's Rust cannot build core for BPF from Debian's source.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
# shellcheck source=tools/fetch.sh
. "$repo/tools/fetch.sh"
object=$here/objects/yagura.bpf.o
target=$repo/target/bpf
tools=$repo/target/bpf-toolchain
linker_version=0.13.0

case ${1-} in
'' | --check) mode=${1-} ;;
*)
	echo "usage: $0 [--check]" >&2
	exit 2
	;;
esac

missing=
for package in rustc-web cargo-web rust-web-src libllvm22 binutils-bpf gcc g++; do
	dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "$0: these packages are needed, and installing them needs root:$missing" >&2
		exit 1
	fi
	# shellcheck disable=SC2086
	install_packages $missing
fi

# Debian's tools, whatever else is on the PATH.
PATH=$tools/bin:/usr/bin:/bin
export PATH
unset RUSTUP_TOOLCHAIN RUSTFLAGS RUSTC RUSTC_WRAPPER CARGO_BUILD_TARGET

if [ "$(bpf-linker --version 2>/dev/null)" != "bpf-linker $linker_version" ]; then
	# Its build script looks for libLLVM.so; the package has only the versioned name.
	mkdir -p "$tools/llvm/lib"
	ln -sf /usr/lib/x86_64-linux-gnu/libLLVM.so.22.1 "$tools/llvm/lib/libLLVM.so"
	again 3 env LLVM_PREFIX="$tools/llvm" CARGO_TARGET_DIR="$tools/build" cargo install bpf-linker \
		--version "$linker_version" --locked --no-default-features --features llvm-22 --root "$tools"
	rm -rf "$tools/build"
fi

cd "$here"
again 3 cargo fetch --locked --target x86_64-unknown-linux-gnu

# Paths are in the line information: give them names that every machine has. The folders below registry/src are
# named after where this machine gets its crates from.
separator=$(printf '\037')
flags=-Cdebuginfo=2
for flag in -Clinker=bpf-linker -Clink-arg=--btf '--cfg=bpf_target_arch="x86_64"' \
	"--remap-path-prefix=$repo=/yagura" "--remap-path-prefix=$(rustc --print sysroot)=/rust"; do
	flags=$flags$separator$flag
done
for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
	flags=$flags$separator--remap-path-prefix=$crates=/crates
done

# core is built from source, which needs what only a nightly, or this variable, allows.
RUSTC_BOOTSTRAP=1 CARGO_ENCODED_RUSTFLAGS=$flags cargo build --release --locked -Z build-std=core \
	--target bpfel-unknown-none --target-dir "$target"

built=$target/yagura.bpf.o
# DWARF goes, BTF stays.
bpf-strip -g "$target/bpfel-unknown-none/release/yagura-bpf" -o "$built"

if [ "$mode" = --check ]; then
	if ! cmp "$built" "$object"; then
		echo "$0: objects/yagura.bpf.o is not what the source builds to. Run 'make bpf' and commit it." >&2
		echo "The committed one was built with: $(cat "$here/objects/TOOLCHAIN")" >&2
		echo "This machine has:                 $(rustc --version), bpf-linker $linker_version" >&2
		exit 1
	fi
	echo "objects/yagura.bpf.o is what the source builds to"
else
	mkdir -p "$here/objects"
	cp "$built" "$object"
	echo "$(rustc --version), bpf-linker $linker_version" >"$here/objects/TOOLCHAIN"
	ls -l "$object"
fi
