//! Memory over many containers that come and go: as much after twenty thousand as after ten thousand.

#![expect(unsafe_code, reason = "only an allocator can count what is allocated")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use exporter_common::{event_type::EventType, record::SectionKind};
use yagura::{
    containers,
    decode::decode,
    enrich::{
        EnrichOptions, Enricher,
        container::{Container, Image, Pod},
        slots::Question,
    },
    event::builder::RecordBuilder,
    fields::{FieldRef, Source, Subject, scheme},
};

/// Bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does it all; this one counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a runtime would say of the container.
fn container(number: u64) -> Container {
    let labels = (0..10).map(|label| (format!("label-{label}").into(), format!("value-{number}").into()));
    Container {
        name: Some(format!("container-{number}").into()),
        image: Image {
            reference: Some(format!("registry.example/app-{number}:1").into()),
            ..Image::default()
        },
        labels: Some(labels.collect()),
        pod: Some(Pod {
            name: Some(format!("pod-{number}").into()),
            namespace: Some(format!("team-{}", number % 50).into()),
            ..Pod::default()
        }),
        ..Container::default()
    }
}

/// One container's life: three processes, of which each starts a program, opens a file and ends.
fn live_and_die(
    enricher: &mut Enricher,
    questions: &mut tokio::sync::mpsc::Receiver<Question>,
    number: u64,
    image: &FieldRef,
) {
    let path = format!("/kubepods/burstable/pod{number:036}/{number:064x}");
    for process in 0..3 {
        let now = 10_000_000_000 + (number * 3 + process) * 1_000_000;
        let pid = 10_000 + ((number * 3 + process) % 4_000_000) as u32;
        let of_process = |ty: EventType| {
            RecordBuilder::new(ty).process(pid, now).parent(500, 1_000_000).with(|header| {
                header.ts_ns = now;
                header.cgroup_id = 100_000 + number;
                header.mnt_ns = 77;
            })
        };
        let argument = format!("argument-{number}");
        let exec = of_process(EventType::Execve)
            .section(SectionKind::Path, "/bin/busybox")
            .section(SectionKind::Cgroup, &path)
            .strings(SectionKind::Argv, &["busybox", &argument])
            .ancestors(&[(500, 1_000_000), (1, 1)]);
        let open = of_process(EventType::Openat).section(SectionKind::PathArg, "/etc/hosts").ret(-2);
        for record in [exec, open, of_process(EventType::Procexit)] {
            let record = record.build();
            let event = decode(&record).expect("a well-formed record");
            if enricher.unsettled(&event).is_some() {
                let question = questions.try_recv().expect("a container that is waited for was asked for");
                question.slot.learn(container(number));
                question.slot.settle();
            }
            let view = enricher.observe(&event);
            let repository = view.get(image).map(|value| end_to_end::text::of(&value));
            assert_eq!(repository, Some(format!("registry.example/app-{number}")), "container {number}");
            enricher.settle(&event);
        }
    }
    assert!(enricher.new_cgroups().count() <= 1);
}

#[test]
fn memory_is_flat_over_twenty_thousand_containers() {
    let (sender, mut questions) = containers::questions();
    let mut enricher =
        Enricher::new(EnrichOptions { container_questions: Some(sender), ..EnrichOptions::default() });
    let image = scheme().resolve(Source::Syscall, "container.image.repository", None).expect("a field");
    let mut run = |range: std::ops::Range<u64>| {
        let mut most = 0;
        for number in range {
            live_and_die(&mut enricher, &mut questions, number, &image);
            most = most.max(LIVE.load(Ordering::Relaxed));
        }
        (most, enricher.stats())
    };
    let (early, _) = run(0..10_000);
    let (late, stats) = run(10_000..20_000);
    // Twenty-six bytes a container that stay behind would be seen; larger numbers make longer names.
    assert!(
        late <= early + early / 50,
        "{early} bytes at most over the first ten thousand containers, {late} over the second: {stats:?}"
    );
    let bounds = EnrichOptions::default();
    assert!(stats.containers <= bounds.max_containers as u64 && stats.cgroups <= bounds.max_cgroups as u64);
    assert_eq!(stats.containers_evicted, 20_000 - stats.containers, "what the bound cost is counted");
    assert_eq!(stats.container_questions_refused, 0);
}
