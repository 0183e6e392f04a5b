//! What deciding costs, per event type and number of rules, over a recorded stream of real events.
//!
//! `decide` is the evaluation of the rules alone; `handle` is a record's way from its bytes to the end of the rules.
//! `YAGURA_BENCH_BIN` names the `yagura` that records the stream if there is none yet.

use std::{env, path::PathBuf, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use exporter_common::event_type::EventType;
use yagura_bench::{
    ruleset,
    stream::{Stream, clock_cost},
};

const COUNTS: [usize; 3] = [25, 100, 1000];
/// Nanoseconds to reach with the smallest of these sets: a fifth of what Falco takes.
const TYPES: [(&str, &[EventType]); 4] = [
    ("openat (340)", &[EventType::Openat]),
    ("execve (800)", &[EventType::Execve]),
    ("connect (180)", &[EventType::Connect]),
    ("mean (140)", &[]),
];

fn rules(criterion: &mut Criterion) {
    let yagura = env::var_os("YAGURA_BENCH_BIN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/yagura")),
        PathBuf::from,
    );
    let stream = Stream::cached(&yagura).expect("a stream of events");
    let base = ruleset::base(&[]);
    let clock = clock_cost();
    println!("{}; reading the clock takes {clock:?}", ruleset::name(&base));
    let sets = COUNTS.map(|count| ruleset::load(&base, count).expect("rules"));
    for (name, types) in TYPES {
        let mut pass = stream.pass(types).expect("events");
        println!("{name}: {} events", pass.len());
        let mut group = criterion.benchmark_group(format!("decide/{name}"));
        for set in &sets {
            let id = BenchmarkId::from_parameter(ruleset::enabled(set));
            group.bench_function(id, |b| b.iter_custom(|count| pass.evaluate(set, count, clock)));
        }
        group.finish();
    }
    let mut pass = stream.pass(&[]).expect("events");
    let mut group = criterion.benchmark_group("handle/mean");
    for set in &sets {
        let id = BenchmarkId::from_parameter(ruleset::enabled(set));
        group.bench_function(id, |b| b.iter_custom(|count| pass.handle(set, count)));
    }
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = rules
}
criterion_main!(all);
