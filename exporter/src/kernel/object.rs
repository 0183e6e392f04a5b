//! The kernel object, built from `exporter-ebpf/` and embedded in the binary.

/// `exporter-ebpf/objects/yagura.bpf.o`, aligned as an ELF reader needs it.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../exporter-ebpf/objects/yagura.bpf.o");
