//! Loads the kernel object, and keeps its programs attached as the plan says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, ProgramArray},
    programs::{BtfTracePoint, Program, ProgramError, tp_btf::BtfTracePointLinkId},
};
use exporter_common::{
    event_type::EventType,
    object::{
        CGROUPS, EVENTS, FILTER_KEYS, FILTERS, GLOBAL_COUNTERS, HOST_MNT_NS, PROGRAMS, RING_WAKE_BYTES,
        SCRATCH, SELF_TGID, SYS_EXIT, SYS_SOCKETCALL, SYSCALL_TYPES, TYPE_CONFIG, TYPE_COUNTERS, WAKE,
        program_of,
    },
    offsets::ABSENT,
    wants::TypeConfig,
};

use super::{
    Counters, KernelError, KernelOptions, Plan, Report, Ring,
    btf::Btf,
    counters::RingErrors,
    facts::{Facts, MissingFact},
    filters::Banks,
    heap::release_freed_memory,
    hooks::{HOOKS, URING_PROGRAMS, programs_for, slots_of, tracepoint_of, uring_hooks, wants_uring},
    host::{self, Host, missing_capabilities},
    places::KernelPlaces,
    report::{ProgramReport, TypeReport, chain},
    ring_pages::RingPages,
    runs::AttachedPrograms,
    shortfall::Shortfall,
};

/// Where the running kernel describes its types.
pub(super) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// How often the verifier is asked about a program if signals interrupt it.
const VERIFY_ATTEMPTS: u32 = 20;

/// The kernel side, loaded. Dropping it detaches everything.
pub struct Kernel {
    bpf: Ebpf,
    /// Why a program was refused, by its name. Its event types are not available; the rest runs.
    refused: BTreeMap<String, String>,
    links: BTreeMap<&'static str, BtfTracePointLinkId>,
    syscall_types: Array<MapData, u32>,
    type_config: Array<MapData, TypeConfig>,
    /// The kernel empties a program array when its last descriptor is closed.
    programs: ProgramArray<MapData>,
    /// What the two tables hold now.
    syscall_table: Vec<u32>,
    plan: Plan,
    banks: Banks,
    places: Option<KernelPlaces>,
    ring: Option<Ring>,
    counters: Counters,
    attached: Arc<AttachedPrograms>,
    shortfall: Arc<Shortfall>,
    missing: Vec<MissingFact>,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("attached", &self.links.keys())
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads the maps and the programs that always run, with this kernel's offsets. Attaches nothing. The
    /// programs of event types are loaded when a plan first wants them: the kernel's verifier takes its time.
    pub fn load(options: &KernelOptions) -> Result<Kernel, KernelError> {
        let missing = missing_capabilities();
        if !missing.is_empty() {
            return Err(KernelError::Capabilities { missing });
        }
        let facts = read_facts()?;
        raise_memlock();
        let mut bpf = load_object(options, &facts)?;
        for (name, _) in HOOKS {
            hook(&mut bpf, name)?;
        }
        let programs = take(&mut bpf, PROGRAMS, ProgramArray::try_from)?;

        let events = match bpf.take_map(EVENTS) {
            Some(Map::RingBuf(events)) => events,
            _ => return Err(KernelError::Lacks { what: "map", name: EVENTS }),
        };
        let capacity = events.info().map_err(|source| KernelError::map(EVENTS, source))?.max_entries();
        let pages = RingPages::map(events.fd().as_fd(), capacity as usize)
            .map(Arc::new)
            .map_err(|source| KernelError::Ring { source })?;
        let errors = Arc::new(RingErrors::default());
        let attached = Arc::new(AttachedPrograms::default());
        let shortfall = Arc::new(Shortfall::new(facts.missing.len(), host::in_initial_pid_namespace()));
        let counters = Counters::new(
            take(&mut bpf, TYPE_COUNTERS, PerCpuArray::try_from)?,
            take(&mut bpf, GLOBAL_COUNTERS, PerCpuArray::try_from)?,
            Arc::clone(&pages),
            Arc::clone(&errors),
            Arc::clone(&attached),
            Arc::clone(&shortfall),
        );
        let wake = take(&mut bpf, WAKE, Array::try_from)?;
        let ring = Ring::new(pages, events, wake, errors).map_err(|source| KernelError::Ring { source })?;
        let syscall_types: Array<MapData, u32> = take(&mut bpf, SYSCALL_TYPES, Array::try_from)?;
        let type_config = take(&mut bpf, TYPE_CONFIG, Array::try_from)?;
        let banks = Banks::new(
            take(&mut bpf, FILTERS, Array::try_from)?,
            take(&mut bpf, FILTER_KEYS, Array::try_from)?,
        );
        let places = KernelPlaces::new(take(&mut bpf, CGROUPS, HashMap::try_from)?);
        for MissingFact { fact, costs } in &facts.missing {
            tracing::warn!(fact, costs, "this kernel lacks a field");
        }
        let mut kernel = Kernel {
            bpf,
            refused: BTreeMap::new(),
            links: BTreeMap::new(),
            syscall_table: vec![0; syscall_types.len() as usize],
            syscall_types,
            type_config,
            banks,
            places: Some(places),
            programs,
            plan: Plan::default(),
            ring: Some(ring),
            counters,
            attached,
            shortfall,
            missing: facts.missing,
        };
        let mut names: BTreeSet<_> = HOOKS.iter().map(|(name, _)| *name).collect();
        if options.load_all {
            names.extend(EventType::ALL.iter().filter_map(|event_type| program_of(*event_type)));
            names.insert(SYS_SOCKETCALL);
            names.extend(URING_PROGRAMS);
        }
        kernel.load_programs(&names)?;
        Ok(kernel)
    }

    /// Makes exactly this plan run. What stays wanted is never off in between, and new types are on before
    /// others go off. An event type whose program the kernel refused stays off; the report says so. After an
    /// error the old and the new plan may be mixed; applying a plan again mends that.
    pub fn apply(&mut self, plan: &Plan) -> Result<(), KernelError> {
        self.load_programs(&programs_for(plan))?;
        // The process table must not miss an exec or a fork, so these come first and stay.
        for (name, _) in HOOKS.iter().filter(|(name, _)| *name != SYS_EXIT) {
            self.attach(name)?;
        }
        // Types whose filter stays are not touched; the others change from one filter to the next at once.
        let bank = self.banks.write(&plan.filters)?;
        let plan = &plan.with_bank(bank);
        let uring = self.sees_uring() && wants_uring(plan);
        let table = plan.syscall_table(|event_type| self.available(event_type), uring);
        let wanted = table.iter().any(|id| *id != 0);
        let unavailable = EventType::ALL
            .iter()
            .filter(|event_type| plan.wants(**event_type) && !self.available(**event_type));
        self.shortfall.set_unavailable(unavailable.count(), wants_uring(plan) && !uring);

        self.configure(plan, |old, new| old != new && *new != TypeConfig::default())?;
        self.route(&table, |_, new| new != 0)?;
        if wanted {
            self.attach(SYS_EXIT)?;
        } else {
            self.detach(SYS_EXIT)?;
        }
        for name in uring_hooks() {
            if uring {
                self.attach(name)?;
            } else {
                self.detach(name)?;
            }
        }
        self.route(&table, |old, new| old != 0 && new == 0)?;
        self.configure(plan, |old, new| old != new)?;
        self.plan.filters.clone_from(&plan.filters);
        // Programs that began before may still read the bank that is written next time.
        wait_for_running_programs();
        Ok(())
    }

    /// Where the kernel side looks up whose a cgroup is, once.
    pub fn take_places(&mut self) -> Option<KernelPlaces> {
        self.places.take()
    }

    /// The reading end of the ring, once.
    pub fn take_ring(&mut self) -> Option<Ring> {
        self.ring.take()
    }

    /// A handle on what the kernel side counts.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// What runs, what does not and why.
    pub fn report(&self) -> Report {
        let mut programs: Vec<_> =
            self.bpf.programs().map(|(name, program)| self.program_report(name, program)).collect();
        programs.sort_by(|a, b| a.name.cmp(&b.name));
        let event_types = EventType::ALL
            .iter()
            .map(|event_type| TypeReport {
                name: event_type.name(),
                available: self.available(*event_type),
                enabled: self.available(*event_type) && self.plan.wants(*event_type),
            })
            .collect();
        Report {
            host: Host::probe(),
            programs,
            event_types,
            missing: self.missing.clone(),
            ring: Some(self.counters.ring()),
            error: None,
        }
    }

    /// Can this event type be reported, as far as is known: is its program in the object and not refused?
    pub fn available(&self, event_type: EventType) -> bool {
        program_of(event_type)
            .is_none_or(|name| self.bpf.program(name).is_some() && !self.refused.contains_key(name))
    }

    /// Are requests to io_uring seen, as far as is known?
    fn sees_uring(&self) -> bool {
        URING_PROGRAMS.iter().all(|name| !self.refused.contains_key(*name))
    }

    /// Loads those of the programs that are not loaded or refused yet, on several CPUs, and puts them where
    /// `sys_exit` finds them. They run only once the system call table leads to them.
    fn load_programs(&mut self, names: &BTreeSet<&'static str>) -> Result<(), KernelError> {
        let mut todo: Vec<(&'static str, &mut BtfTracePoint)> = Vec::new();
        for (name, program) in self.bpf.programs_mut() {
            let Some(name) = names.get(name) else { continue };
            match program {
                Program::BtfTracePoint(program)
                    if program.fd().is_err() && !self.refused.contains_key(*name) =>
                {
                    todo.push((name, program));
                }
                _ => {}
            }
        }
        if todo.is_empty() {
            return Ok(());
        }
        let loaded: Vec<&'static str> = todo.iter().map(|(name, _)| *name).collect();
        for (name, error) in verify(todo)? {
            let required = HOOKS.iter().any(|(hook, _)| *hook == name);
            if required || matches!(error, KernelError::NotPermitted { .. }) {
                return Err(error);
            }
            let why = chain(&error);
            let costs = if URING_PROGRAMS.contains(&name) {
                "opens and connects by io_uring are not seen"
            } else {
                "its event types are off"
            };
            tracing::warn!(program = name, error = why, costs, "the kernel refused a program");
            self.refused.insert(name.to_owned(), why);
        }
        for name in loaded {
            let Some(Program::BtfTracePoint(program)) = self.bpf.program(name) else { continue };
            // Refused, so not loaded.
            let Ok(fd) = program.fd() else { continue };
            for slot in slots_of(name) {
                self.programs.set(slot, fd, 0).map_err(|source| KernelError::map(PROGRAMS, source))?;
            }
        }
        // The kernel's types were parsed for this, which takes some megabytes.
        release_freed_memory();
        Ok(())
    }

    fn attach(&mut self, name: &'static str) -> Result<(), KernelError> {
        if self.links.contains_key(name) {
            return Ok(());
        }
        let refused = |source| KernelError::Attach { program: name.to_owned(), source: Box::new(source) };
        let program = hook(&mut self.bpf, name)?;
        // First what may fail without a trace: a link that is not kept would be made a second time.
        let fd = program.fd().and_then(|fd| Ok(fd.try_clone()?)).map_err(refused)?;
        let link = program.attach().map_err(refused)?;
        self.attached.add(name, fd);
        self.links.insert(name, link);
        Ok(())
    }

    fn detach(&mut self, name: &'static str) -> Result<(), KernelError> {
        let Some(link) = self.links.remove(name) else { return Ok(()) };
        hook(&mut self.bpf, name)?
            .detach(link)
            .map_err(|source| KernelError::Attach { program: name.to_owned(), source: Box::new(source) })
    }

    /// Writes the configurations that `select` picks out of (old, new).
    fn configure(
        &mut self,
        plan: &Plan,
        select: impl Fn(&TypeConfig, &TypeConfig) -> bool,
    ) -> Result<(), KernelError> {
        for (index, (old, new)) in self.plan.types.iter_mut().zip(&plan.types).enumerate() {
            if select(old, new) {
                self.type_config
                    .set(index as u32, new, 0)
                    .map_err(|source| KernelError::map(TYPE_CONFIG, source))?;
                *old = *new;
            }
        }
        Ok(())
    }

    /// Writes the entries of the system call table that `select` picks out of (old, new).
    fn route(&mut self, table: &[u32], select: impl Fn(u32, u32) -> bool) -> Result<(), KernelError> {
        for (nr, (old, new)) in self.syscall_table.iter_mut().zip(table).enumerate() {
            if *old != *new && select(*old, *new) {
                self.syscall_types
                    .set(nr as u32, new, 0)
                    .map_err(|source| KernelError::map(SYSCALL_TYPES, source))?;
                *old = *new;
            }
        }
        Ok(())
    }

    fn program_report(&self, name: &str, program: &Program) -> ProgramReport {
        // A refused program has no info; an old kernel has less of it.
        let info = program.info().ok();
        ProgramReport {
            name: name.to_owned(),
            program_type: match program {
                Program::BtfTracePoint(_) => "tp_btf",
                _ => "unexpected",
            },
            tracepoint: tracepoint_of(name, None).to_owned(),
            loaded: info.is_some(),
            attached: self.links.contains_key(name),
            id: info.as_ref().map(|info| info.id()),
            verified_instructions: info.as_ref().and_then(|info| info.verified_instruction_count()),
            runs: info.as_ref().map_or(0, |info| info.run_count()),
            run_time_ns: info.as_ref().map_or(0, |info| info.run_time().as_nanos() as u64),
            error: self.refused.get(name).cloned(),
        }
    }
}

fn read_facts() -> Result<Facts, KernelError> {
    let blob = fs::read(BTF_PATH).map_err(|source| KernelError::NoBtf { path: BTF_PATH, source })?;
    let btf = Btf::parse(&blob).map_err(|source| KernelError::BadBtf { path: BTF_PATH, source })?;
    Ok(Facts::read(&btf))
}

/// Kernels before 5.11 charge maps to the locked-memory limit. Later ones do not, so failing is fine.
fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    if let Err(error) = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }) {
        tracing::debug!(%error, "the locked-memory limit stays as it is; only kernels before 5.11 mind");
    }
}

fn load_object(options: &KernelOptions, facts: &Facts) -> Result<Ebpf, KernelError> {
    let cpus = aya::util::nr_cpus().map_err(|(path, source)| {
        KernelError::object(aya::EbpfError::FileError { path: path.into(), error: source })
    })?;
    let self_tgid = options.self_tgid.unwrap_or_else(host::own_tgid);
    let wake_bytes = options.wake_bytes();
    let host_mnt_ns = host::mount_namespace().unwrap_or(ABSENT);
    let mut loader = EbpfLoader::new();
    loader
        .allow_unsupported_maps()
        .map_max_entries(EVENTS, options.ring_bytes())
        .map_max_entries(SCRATCH, cpus as u32)
        .override_global(SELF_TGID, &self_tgid, true)
        .override_global(RING_WAKE_BYTES, &wake_bytes, true)
        .override_global(HOST_MNT_NS, &host_mnt_ns, true);
    for (global, value) in &facts.values {
        // Not every fact is used by a program that is in the object.
        loader.override_global(global, value, false);
    }
    loader.load(super::object::OBJECT).map_err(KernelError::object)
}

/// Has the kernel verify and load the programs; returns those that failed. The verifier is the whole cost of a
/// start (a second and more for a large program) and runs on the calling thread, so there are several.
fn verify(
    todo: Vec<(&'static str, &mut BtfTracePoint)>,
) -> Result<Vec<(&'static str, KernelError)>, KernelError> {
    let btf =
        aya::Btf::from_sys_fs().map_err(|source| KernelError::Object { source: Box::new(source.into()) })?;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(todo.len());
    let queue = Mutex::new(todo);
    let work = || {
        let mut failed = Vec::new();
        // A function of its own, so that the lock is not held while the verifier runs. A poisoned one only says
        // that another thread panicked; the queue is whole.
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some((name, program)) = next() {
            if let Err(error) = verify_one(name, program, &btf) {
                failed.push((name, KernelError::program(name, error)));
            }
        }
        failed
    };
    Ok(thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut failed = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => failed.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        failed
    }))
}

/// The verifier gives up (EAGAIN) as soon as a signal waits for its thread, also one that stops the process or freezes its
/// control group: that says nothing of the program.
fn verify_one(name: &str, program: &mut BtfTracePoint, btf: &aya::Btf) -> Result<(), ProgramError> {
    let mut attempts = VERIFY_ATTEMPTS;
    loop {
        let verified = program.load(tracepoint_of(name, Some(btf)), btf);
        attempts -= 1;
        match &verified {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == io::ErrorKind::WouldBlock && attempts > 0 =>
            {
                tracing::debug!(name, "a signal interrupted the verifier; once more");
            }
            _ => return verified,
        }
    }
}

fn hook<'a>(bpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut BtfTracePoint, KernelError> {
    match bpf.program_mut(name) {
        Some(Program::BtfTracePoint(program)) => Ok(program),
        _ => Err(KernelError::Lacks { what: "program", name }),
    }
}

/// Returns when no program runs that ran before.
fn wait_for_running_programs() {
    use rustix::thread::{MembarrierCommand, membarrier};
    // It waits for a grace period of RCU, under which these programs run. Where it is not allowed, what is left is
    // that a bank is written again only at the next change of rules.
    if let Err(error) = membarrier(MembarrierCommand::Global) {
        tracing::debug!(%error, "cannot wait for running programs");
    }
}

fn take<T>(
    bpf: &mut Ebpf,
    name: &'static str,
    convert: impl Fn(Map) -> Result<T, aya::maps::MapError>,
) -> Result<T, KernelError> {
    let map = bpf.take_map(name).ok_or(KernelError::Lacks { what: "map", name })?;
    convert(map).map_err(|source| KernelError::map(name, source))
}
