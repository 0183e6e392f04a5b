//! The ledger as Prometheus metrics, read when scraped.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use exporter_common::{counters::TypeCounters, event_type::EventType};
use prometheus::{
    core::{Collector, Desc},
    proto::{self, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{Ledger, ledger::KernelNumbers};
use crate::{audit::Stage, detection::PLATFORM_TENANT, fields::Source};

/// One metric family and its samples (label values and value).
struct Family {
    name: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    help: &'static str,
    samples: Vec<(Vec<&'static str>, f64)>,
}

#[derive(Debug)]
pub(super) struct LedgerCollector {
    ledger: Ledger,
    descs: Vec<Desc>,
}

impl LedgerCollector {
    pub fn new(ledger: Ledger) -> prometheus::Result<LedgerCollector> {
        let descs = families(&ledger)
            .into_iter()
            .map(|Family { name, labels, help, .. }| {
                let labels = labels.iter().map(ToString::to_string).collect();
                Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())
            })
            .collect::<prometheus::Result<_>>()?;
        Ok(LedgerCollector { ledger, descs })
    }
}

impl Collector for LedgerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(&self.ledger).into_iter().map(Family::into_proto).collect()
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn families(ledger: &Ledger) -> Vec<Family> {
    let Ledger { kernel, engine, audit, stdout, recording, containers, kubernetes, journal, sinks: _ } =
        ledger;
    // Downstream first: what is in flight between two reads then never looks like more came out of a stage
    // than went into it.
    let (delivered, write_error) = (stdout.delivered.get(), stdout.write_error.get());
    let suppressed = engine.suppressed.get() + audit.suppressed.get();
    let queue_full = engine.queue_full.get() + audit.queue_full.get() + stdout.queue_full.get();
    let matched = engine.matched.get() + audit.matched.get();
    let unmatched = engine.unmatched.get() + audit.unmatched.get();
    let (invalid, audit_invalid) = (engine.invalid.get(), audit.invalid.get());
    let stages = |get: &dyn Fn(Stage) -> u64| -> Vec<(Vec<&'static str>, u64)> {
        Stage::ALL.iter().map(|stage| (vec![Source::K8sAudit.name(), stage.name()], get(*stage))).collect()
    };
    let mut received: Vec<_> =
        EventType::ALL.iter().map(|t| (vec!["syscall", t.name()], engine.received(*t))).collect();
    received.extend(stages(&|stage| audit.received(stage)));
    let kernel: KernelNumbers = kernel().unwrap_or_default();
    let per_type = |get: fn(&TypeCounters) -> u64| -> Vec<(Vec<&'static str>, u64)> {
        kernel.types.iter().map(|(t, counters)| (vec![t.name()], get(counters))).collect()
    };
    let per_source = |get: fn(&TypeCounters) -> u64| -> Vec<(Vec<&'static str>, u64)> {
        kernel.types.iter().map(|(t, counters)| (vec!["syscall", t.name()], get(counters))).collect()
    };
    let one = |value| vec![(vec![], value)];
    let mut seen = per_source(|c| c.seen);
    seen.push((vec!["syscall", "unknown"], kernel.tail_call_failed));
    seen.extend(stages(&|stage| audit.accepted(stage)));
    let lost = vec![
        (vec!["kernel", "ring_full"], kernel.sum(|c| c.lost_ring_full)),
        (vec!["kernel", "scratch_busy"], kernel.sum(|c| c.lost_scratch_busy)),
        (vec!["kernel", "tail_call_failed"], kernel.tail_call_failed),
        (vec!["decode", "invalid"], invalid),
        (vec!["match", "panicked"], engine.panicked.get()),
        (vec!["audit", "invalid"], audit_invalid),
        (vec!["audit", "panicked"], audit.panicked.get()),
        (vec!["queue", "full"], queue_full),
        (vec!["stdout", "write_error"], write_error),
        (vec!["recording", "behind"], engine.record_behind.get()),
        (vec!["recording", "beyond_bound"], recording.beyond.get()),
    ];
    let table = &engine.table;
    let counter =
        |name, labels, help, samples| Family::whole(name, MetricType::COUNTER, labels, help, samples);
    let gauges = |name, labels, help, samples| Family::whole(name, MetricType::GAUGE, labels, help, samples);
    let labelled = |values: &[(&'static str, u64)]| -> Vec<(Vec<&'static str>, u64)> {
        values.iter().map(|(label, value)| (vec![*label], *value)).collect()
    };
    let gauge = |name, help, value| gauges(name, &[], help, one(value));
    vec![
        counter(
            "yagura_events_total",
            &["source", "type"],
            "Events that a hook began to handle, or that were taken from an API server.",
            seen,
        ),
        counter(
            "yagura_events_filtered_total",
            &["source", "type"],
            "Events dropped in the kernel because no loaded rule can match them.",
            per_source(|c| c.filtered),
        ),
        counter(
            "yagura_events_received_total",
            &["source", "type"],
            "Events that reached user space and were decoded, or came to the turn of their rules.",
            received,
        ),
        counter("yagura_events_matched_total", &[], "Events that at least one rule matched.", one(matched)),
        counter("yagura_events_unmatched_total", &[], "Events that no rule matched.", one(unmatched)),
        counter(
            "yagura_lost_total",
            &["stage", "reason"],
            "Lost: events at stages kernel, decode, match and audit, detections at stages queue and stdout, \
             records of a recording at stage recording.",
            lost,
        ),
        counter(
            "yagura_sink_delivered_total",
            &["sink", "tenant"],
            "Detections that a sink took.",
            vec![(vec!["stdout", PLATFORM_TENANT], delivered)],
        ),
        counter(
            "yagura_suppressed_total",
            &[],
            "Detections held back by their rule's rate limit.",
            one(suppressed),
        ),
        counter(
            "yagura_kernel_truncated_total",
            &["type"],
            "Events of which a path, an argument list or an environment was cut at its bound.",
            per_type(|c| c.truncated),
        ),
        counter(
            "yagura_kernel_fault_total",
            &["type"],
            "Events for which memory of the caller could not be read.",
            per_type(|c| c.fault),
        ),
        counter(
            "yagura_kernel_own_syscalls_total",
            &[],
            "System calls of the daemon itself, which are never reported.",
            one(kernel.own_syscalls),
        ),
        counter(
            "yagura_kernel_io_uring_forgotten_total",
            &[],
            "Opens and connects by io_uring that were reported without their arguments: too many were under way.",
            one(kernel.uring_forgotten),
        ),
        gauge("yagura_ring_used_bytes", "Bytes waiting in the ring buffer.", kernel.ring_used),
        gauge("yagura_ring_capacity_bytes", "Size of the ring buffer.", kernel.ring_capacity),
        counter(
            "yagura_ring_corrupt_total",
            &[],
            "Times the reader skipped records that it could not delimit.",
            one(kernel.ring_corrupt),
        ),
        Family {
            name: "yagura_bpf_program_run_seconds_total",
            kind: MetricType::COUNTER,
            labels: &["program"],
            help: "Time that a program of ours has run in the kernel; counted while kernel.bpf_stats_enabled is 1.",
            samples: (kernel.programs.iter())
                .map(|(name, cost)| (vec![*name], Duration::from_nanos(cost.time_ns).as_secs_f64()))
                .collect(),
        },
        counter(
            "yagura_bpf_program_runs_total",
            &["program"],
            "Times that it has run; counted while kernel.bpf_stats_enabled is 1.",
            kernel.programs.iter().map(|(name, cost)| (vec![*name], cost.runs)).collect(),
        ),
        gauges(
            "yagura_kernel_shortfall",
            &["kind"],
            "How much this kernel does not do of what is wanted of it; 0 where nothing is missing.",
            labelled(&kernel.shortfall),
        ),
        gauge("yagura_process_table_processes", "Processes in the process table.", table.processes.get()),
        gauge(
            "yagura_process_table_exited",
            "Exited processes kept for their late children.",
            table.exited.get(),
        ),
        gauge(
            "yagura_process_table_bytes",
            "Bytes of arguments, environments and paths in the process table.",
            table.bytes.get(),
        ),
        counter(
            "yagura_process_table_evicted_total",
            &["state"],
            "Processes forgotten because the process table was full.",
            vec![(vec!["living"], table.evicted_live.get()), (vec!["exited"], table.evicted_exited.get())],
        ),
        counter(
            "yagura_process_table_reused_total",
            &[],
            "Process ids found to belong to another process without the exit of the first having been seen.",
            one(table.reused.get()),
        ),
        counter(
            "yagura_process_table_incomplete_total",
            &[],
            "Processes of which neither fork nor exec was seen.",
            one(table.incomplete.get()),
        ),
        gauge("yagura_cgroups", "Control groups whose path is known.", table.cgroups.get()),
        counter(
            "yagura_cgroups_evicted_total",
            &[],
            "Control groups forgotten because there were too many.",
            one(table.cgroups_evicted.get()),
        ),
        counter(
            "yagura_cgroups_unknown_total",
            &[],
            "Events whose control group had no known path: container.id is that of the one before, or absent.",
            one(table.cgroups_unknown.get()),
        ),
        gauge("yagura_sockets", "Sockets whose use is remembered.", table.sockets.get()),
        counter(
            "yagura_sockets_evicted_total",
            &[],
            "Sockets forgotten because there were too many.",
            one(table.sockets_evicted.get()),
        ),
        gauge(
            "yagura_dns_addresses",
            "Addresses of which names are known from answers of name servers.",
            table.dns_addresses.get(),
        ),
        counter(
            "yagura_dns_evicted_total",
            &[],
            "Addresses, and names of an address, forgotten because there were too many.",
            one(table.dns_evicted.get()),
        ),
        counter(
            "yagura_dns_invalid_total",
            &[],
            "What came from a name server's port and could not be read as an answer.",
            one(table.dns_invalid.get()),
        ),
        gauge(
            "yagura_container_users",
            "Mount namespaces whose own names of users and groups are known.",
            engine.roots.known.get(),
        ),
        counter(
            "yagura_container_users_evicted_total",
            &[],
            "Mount namespaces whose users were forgotten because there were too many.",
            one(engine.roots.evicted.get()),
        ),
        counter(
            "yagura_container_users_failed_total",
            &["reason"],
            "Times the users of a mount namespace could not be read, or not be asked for.",
            vec![
                (vec!["read"], engine.roots.failed.get()),
                (vec!["busy"], table.root_questions_refused.get()),
            ],
        ),
        gauge("yagura_containers", "Containers of which something may be known.", table.containers.get()),
        counter(
            "yagura_containers_evicted_total",
            &[],
            "Containers forgotten because there were too many.",
            one(table.containers_evicted.get()),
        ),
        counter(
            "yagura_container_lookups_total",
            &["result"],
            "Containers looked for, by whether their image and pod were known in time. Result refused: nobody could be \
             asked; unfollowed: not looked at again for what comes late.",
            vec![
                (vec!["known"], load(&containers.known)),
                (vec!["partly"], load(&containers.partly)),
                (vec!["unknown"], load(&containers.unknown)),
                (vec!["unfollowed"], load(&containers.unfollowed)),
                (vec!["refused"], table.container_questions_refused.get()),
            ],
        ),
        counter(
            "yagura_container_source_answers_total",
            &["source", "result"],
            "Answers of the sources asked for containers.",
            (containers.sources.iter())
                .flat_map(|(source, answers)| {
                    [
                        (vec![*source, "found"], load(&answers.found)),
                        (vec![*source, "unknown"], load(&answers.unknown)),
                        (vec![*source, "failed"], load(&answers.failed)),
                    ]
                })
                .collect(),
        ),
        gauge(
            "yagura_journal_up",
            "Whether detections can be written to the journal.",
            journal.is_up().into(),
        ),
        gauge(
            "yagura_journal_size_bytes",
            "What the detections in the journal count against its bound.",
            journal.current_size(),
        ),
        gauge("yagura_journal_limit_bytes", "The journal's bound.", journal.limit()),
        counter(
            "yagura_journal_written_total",
            &[],
            "Detections written to the journal.",
            one(journal.all_written()),
        ),
        counter(
            "yagura_journal_failures_total",
            &["reason"],
            "Detections that could not be written to the journal.",
            labelled(&journal.failures()),
        ),
        counter(
            "yagura_journal_set_aside_total",
            &[],
            "Damaged journals that were set aside.",
            one(journal.all_set_aside()),
        ),
        gauges(
            "yagura_kubernetes_watch_up",
            &["resource"],
            "Whether changes of a kind of objects in the Kubernetes API are followed.",
            labelled(&kubernetes.ups()),
        ),
        gauges(
            "yagura_kubernetes_objects",
            &["kind"],
            "Objects of the Kubernetes API that are kept, deleted pods whose events may still come among them.",
            labelled(&kubernetes.kept()),
        ),
        counter(
            "yagura_kubernetes_relists_total",
            &["resource"],
            "Times that a kind of objects was listed again because its watch was too old.",
            labelled(&kubernetes.relists()),
        ),
        counter(
            "yagura_kubernetes_request_failures_total",
            &["reason"],
            "Requests to the Kubernetes API that failed.",
            labelled(&kubernetes.failures()),
        ),
        counter(
            "yagura_kubernetes_refused_total",
            &["kind"],
            "Objects of the Kubernetes API that were not kept: too many, or without sense.",
            labelled(&kubernetes.refusals()),
        ),
        gauge(
            "yagura_events_held",
            "Events that wait until something is known of their container.",
            engine.held.waiting.get(),
        ),
        counter(
            "yagura_events_held_total",
            &["result"],
            "Events that waited for what is known of their container, by what came of it. Result no_room: it could not \
             wait, and went on.",
            vec![
                (vec!["known"], engine.held.known.get()),
                (vec!["unknown"], engine.held.unknown.get()),
                (vec!["no_room"], engine.held.no_room.get()),
            ],
        ),
        counter(
            "yagura_k8s_audit_repeated_total",
            &[],
            "Audit events that were dropped because they had been taken before.",
            one(audit.repeated.get()),
        ),
        counter(
            "yagura_k8s_audit_forgotten_total",
            &[],
            "Audit events of which a repetition would not be noticed, because there were too many to remember.",
            one(audit.forgotten.get()),
        ),
        gauge("yagura_k8s_audit_queue_events", "Audit events that wait for the rules.", audit.queued.get()),
        gauge("yagura_k8s_audit_queue_bytes", "Bytes of these.", audit.queued_bytes.get()),
        gauge(
            "yagura_k8s_sessions",
            "Sessions in pods (exec, attach) that are remembered.",
            audit.sessions.get(),
        ),
        counter(
            "yagura_k8s_sessions_evicted_total",
            &[],
            "Sessions in pods forgotten because there were too many.",
            one(audit.sessions_evicted.get()),
        ),
        counter(
            "yagura_recording_records_total",
            &[],
            "Records written to the recording.",
            one(recording.records.get()),
        ),
        counter(
            "yagura_recording_bytes_total",
            &[],
            "Bytes written to the recording.",
            one(recording.bytes.get()),
        ),
    ]
}

impl Family {
    /// Of samples that are whole numbers.
    fn whole(
        name: &'static str,
        kind: MetricType,
        labels: &'static [&'static str],
        help: &'static str,
        samples: Vec<(Vec<&'static str>, u64)>,
    ) -> Family {
        let samples = samples.into_iter().map(|(values, value)| (values, value as f64)).collect();
        Family { name, kind, labels, help, samples }
    }

    fn into_proto(self) -> MetricFamily {
        let Family { name, kind, labels, help, samples } = self;
        let metrics = samples.into_iter().map(|(values, value)| {
            let pairs = labels.iter().zip(values).map(|(label, value)| {
                let mut pair = LabelPair::default();
                pair.set_name((*label).to_owned());
                pair.set_value(value.to_owned());
                pair
            });
            let mut metric = Metric::from_label(pairs.collect());
            if kind == MetricType::GAUGE {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            } else {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics.collect());
        family
    }
}
