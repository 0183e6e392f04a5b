//! The proof that the kernel side can only look: by program type and by helper, in the object and in what
//! the kernel holds after loading it.
//!
//! A program could alter a task in three ways: as a type whose return value is a verdict (LSM, seccomp,
//! cgroup, XDP, …), by a helper that acts (send a signal, override a return value, write user memory, …), or
//! by a kernel function (kfunc). So the types allowed are one, the helpers allowed are a list of those
//! that only read, and kernel functions are not allowed at all.

use std::{collections::HashMap, fs, os::fd::AsRawFd};

use aya::sys::BpfHelper;
use aya_obj::{Object, ProgramSection, generated::bpf_insn};
use exporter_common::event_type::EventType;

use super::{live_tests, object::OBJECT};

/// Helpers that read, count, send to the ring or control the program's own flow.
const ALLOWED: &[(BpfHelper, &str)] = &[
    (BpfHelper::BPF_FUNC_map_lookup_elem, "bpf_map_lookup_elem"),
    (BpfHelper::BPF_FUNC_map_update_elem, "bpf_map_update_elem"),
    (BpfHelper::BPF_FUNC_map_delete_elem, "bpf_map_delete_elem"),
    (BpfHelper::BPF_FUNC_ktime_get_ns, "bpf_ktime_get_ns"),
    (BpfHelper::BPF_FUNC_ktime_get_boot_ns, "bpf_ktime_get_boot_ns"),
    (BpfHelper::BPF_FUNC_get_smp_processor_id, "bpf_get_smp_processor_id"),
    (BpfHelper::BPF_FUNC_get_current_pid_tgid, "bpf_get_current_pid_tgid"),
    (BpfHelper::BPF_FUNC_get_current_uid_gid, "bpf_get_current_uid_gid"),
    (BpfHelper::BPF_FUNC_get_current_comm, "bpf_get_current_comm"),
    (BpfHelper::BPF_FUNC_get_current_task, "bpf_get_current_task"),
    (BpfHelper::BPF_FUNC_get_current_task_btf, "bpf_get_current_task_btf"),
    (BpfHelper::BPF_FUNC_get_current_cgroup_id, "bpf_get_current_cgroup_id"),
    (BpfHelper::BPF_FUNC_task_pt_regs, "bpf_task_pt_regs"),
    (BpfHelper::BPF_FUNC_probe_read_kernel, "bpf_probe_read_kernel"),
    (BpfHelper::BPF_FUNC_probe_read_kernel_str, "bpf_probe_read_kernel_str"),
    (BpfHelper::BPF_FUNC_probe_read_user, "bpf_probe_read_user"),
    (BpfHelper::BPF_FUNC_probe_read_user_str, "bpf_probe_read_user_str"),
    (BpfHelper::BPF_FUNC_ringbuf_output, "bpf_ringbuf_output"),
    (BpfHelper::BPF_FUNC_ringbuf_query, "bpf_ringbuf_query"),
    (BpfHelper::BPF_FUNC_tail_call, "bpf_tail_call"),
    (BpfHelper::BPF_FUNC_loop, "bpf_loop"),
];

/// Helpers that act, to show that the check would see them: all are unknown to [`ALLOWED`].
const ACTING: &[BpfHelper] = &[
    BpfHelper::BPF_FUNC_probe_write_user,
    BpfHelper::BPF_FUNC_override_return,
    BpfHelper::BPF_FUNC_send_signal,
    BpfHelper::BPF_FUNC_send_signal_thread,
    BpfHelper::BPF_FUNC_skb_store_bytes,
    BpfHelper::BPF_FUNC_sysctl_set_new_value,
    BpfHelper::BPF_FUNC_setsockopt,
    BpfHelper::BPF_FUNC_sys_bpf,
    BpfHelper::BPF_FUNC_kptr_xchg,
    BpfHelper::BPF_FUNC_trace_printk,
];

const CALL: u8 = 0x85; // BPF_JMP | BPF_CALL
const CALLX: u8 = 0x8d; // BPF_JMP | BPF_CALL | BPF_X
const FROM_HELPER: u8 = 0;
const FROM_PROGRAM: u8 = 1; // BPF_PSEUDO_CALL

/// What is wrong with an instruction of the object, if anything.
fn objection(insn: &bpf_insn) -> Option<String> {
    if insn.code == CALLX {
        return Some("a call to an address".to_owned());
    }
    if insn.code != CALL {
        return None;
    }
    match insn.src_reg() {
        FROM_PROGRAM => None,
        FROM_HELPER if ALLOWED.iter().any(|(helper, _)| *helper as i32 == insn.imm) => None,
        FROM_HELPER => Some(format!("helper {}", insn.imm)),
        _ => Some(format!("kernel function {}", insn.imm)),
    }
}

fn call(src: u8, imm: i32) -> bpf_insn {
    let mut insn = bpf_insn {
        code: CALL,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(0, src),
        off: 0,
        imm,
    };
    insn.set_src_reg(src);
    insn
}

#[test]
fn the_check_objects_to_what_acts() {
    for helper in ACTING {
        assert!(objection(&call(FROM_HELPER, *helper as i32)).is_some(), "{helper:?}");
    }
    for (helper, name) in ALLOWED {
        assert_eq!(objection(&call(FROM_HELPER, *helper as i32)), None, "{name}");
    }
    assert!(objection(&call(2, BpfHelper::BPF_FUNC_loop as i32)).is_some(), "a kfunc, whatever its number");
    assert_eq!(objection(&call(FROM_PROGRAM, -1)), None);
    let mut indirect = call(FROM_HELPER, 0);
    indirect.code = CALLX;
    assert!(objection(&indirect).is_some());
}

#[test]
fn the_object_calls_no_helper_that_acts_and_gives_no_verdict() {
    let object = Object::parse(OBJECT).unwrap();
    assert!(!object.programs.is_empty());
    for (name, program) in &object.programs {
        assert!(
            matches!(program.section, ProgramSection::BtfTracePoint),
            "{name} is of another type: {:?}",
            program.section
        );
    }
    let mut calls = 0;
    for function in object.functions.values() {
        for (index, insn) in function.instructions.iter().enumerate() {
            calls += usize::from(insn.code == CALL && insn.src_reg() == FROM_HELPER);
            assert_eq!(objection(insn), None, "{} instruction {index}", function.name);
        }
    }
    assert!(calls > 50, "the object's calls are seen: {calls}");
}

#[test]
fn the_loaded_programs_call_no_helper_that_acts() {
    if live_tests::skip() {
        return;
    }
    let mut kernel = live_tests::load();
    kernel.apply(&live_tests::plan(EventType::ALL)).unwrap();
    let symbols = kallsyms();
    let base = symbols
        .iter()
        .find(|(_, names)| names.split(' ').any(|name| name == "__bpf_call_base"))
        .map_or(0, |(address, _)| *address);
    if base == 0 {
        eprintln!("not compared: the kernel hides its addresses (kernel.kptr_restrict); the object was");
    }
    let programs = kernel.report().programs;
    assert!(programs.len() > 4);
    let mut calls = 0;
    for program in &programs {
        let id = program.id.unwrap_or_else(|| panic!("{} is loaded", program.name));
        let info = aya::programs::loaded_programs()
            .filter_map(Result::ok)
            .find(|info| info.id() == id)
            .expect("the program is among the loaded ones");
        // BPF_PROG_TYPE_TRACING; what its attach type is, the kernel does not tell, but the object does.
        assert_eq!(info.program_type() as u32, 26, "{}", program.name);
        for insn in translated(&info.fd().unwrap()) {
            assert_ne!(insn.code, CALLX, "{}", program.name);
            if insn.code != CALL || insn.src_reg() == FROM_PROGRAM || base == 0 {
                continue;
            }
            calls += 1;
            // The kernel tells a helper by the distance from this symbol, except the tail call, which is not one.
            if insn.imm == BpfHelper::BPF_FUNC_tail_call as i32 {
                continue;
            }
            let address = base.wrapping_add_signed(i64::from(insn.imm));
            let names: Vec<_> = symbols.get(&address).into_iter().flat_map(|name| name.split(' ')).collect();
            // Map helpers are replaced by the map's own function.
            let allowed = |name: &&str| {
                ALLOWED.iter().any(|(_, helper)| helper == name)
                    || name.ends_with("_map_lookup_elem")
                    || name.ends_with("_map_update_elem")
                    || name.ends_with("_map_delete_elem")
            };
            assert!(names.iter().any(allowed), "{} calls {names:?} (distance {})", program.name, insn.imm);
        }
    }
    assert!(base == 0 || calls > 50, "the calls are seen: {calls}");
}

/// Address → names, separated by spaces.
fn kallsyms() -> HashMap<u64, String> {
    let mut symbols: HashMap<u64, String> = HashMap::new();
    for line in fs::read_to_string("/proc/kallsyms").unwrap().lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let names = symbols.entry(u64::from_str_radix(address, 16).unwrap()).or_default();
        if !names.is_empty() {
            names.push(' ');
        }
        names.push_str(name);
    }
    symbols
}

/// The instructions of a loaded program, as the kernel runs them.
#[expect(unsafe_code, reason = "no library hands out the translated instructions")]
fn translated(fd: &aya::programs::ProgramFd) -> Vec<bpf_insn> {
    use std::os::fd::AsFd;
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
    /// The start of `struct bpf_prog_info`.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        head: [u32; 5],
        xlated_len: u32,
        jited: u64,
        xlated: u64,
    }
    #[repr(C)]
    struct Attr {
        fd: u32,
        info_len: u32,
        info: u64,
    }
    let fd = fd.as_fd().as_raw_fd() as u32;
    let ask = |info: &mut Info| {
        let attr = Attr { fd, info_len: size_of::<Info>() as u32, info: std::ptr::from_mut(info) as u64 };
        // SAFETY: the attribute and the struct it points to live for the call, with the lengths they state.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw const attr, size_of::<Attr>())
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    };
    let mut info = Info::default();
    ask(&mut info);
    let mut bytes = vec![0u64; info.xlated_len as usize / 8];
    info = Info { xlated_len: info.xlated_len, xlated: bytes.as_mut_ptr() as u64, ..Info::default() };
    ask(&mut info);
    assert!(!bytes.is_empty() && info.xlated != 0, "the kernel shows the instructions");
    bytes
        .iter()
        .map(|word| {
            let raw = word.to_ne_bytes();
            let mut insn = call(raw[1] >> 4, i32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]));
            insn.code = raw[0];
            insn
        })
        .collect()
}
