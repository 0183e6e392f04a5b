//! `make soak`: the daemon under load for a while, with a receiver that is at times slow, refuses, or is gone. In the end
//! everything that was journaled must have arrived, in order; what it took is printed.
//!
//! Two sinks have all detections: one has the bad receiver, the other a good one. Of the three tenants one floods, one is
//! busy, and one is quiet: how soon the quiet one is told beside the others is what is measured.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use end_to_end::{
    activity::{SEEN_RULE, audit_event, once, open, opened_rule, post_audit},
    daemon::{Daemon, Options, yagura},
    http::Client,
    receiver::{Act, Receiver, free_address},
};
use serde_json::Value;

#[derive(Debug, Parser)]
struct Args {
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

const TENANTS: &str =
    "tenants: [{name: flood, match: {namespaces: [flood]}}, {name: quiet, match: {namespaces: [quiet]}}]\n";
/// What the bad receiver does in turn, and for how many times ten seconds: three minutes of it are an outage.
const MOODS: [(&str, usize); 7] =
    [("fine", 1), ("gone", 1), ("fine", 1), ("500", 1), ("429", 1), ("slow", 1), ("gone", 18)];

fn main() -> Result<()> {
    let Args { minutes } = Args::parse();
    let length = Duration::from_secs(60 * minutes);
    let (bad, good) = (free_address(), free_address());
    let folder = tempfile::tempdir_in("target")?;
    let path = folder.path().join("journal.db");
    let sink = |name: &str, address| {
        format!(
            "- {{name: {name}, type: webhook, format: lines, url: 'http://{address}/', timeout: 2s, retry: {{first: 100ms, longest: 5s}}}}\n"
        )
    };
    let config = format!(
        "rate_limit: {{rate: 0}}\nkernel: {{ring_size: 8MiB}}\nsinks:\n{}{}{TENANTS}journal:\n  path: {}\n  max_size: 4GiB\n",
        sink("bad", bad),
        sink("good", good),
        path.display()
    );
    let steady = Receiver::start(good, |_| Act::Answer(200));
    let daemon = Daemon::start(&Options {
        rules: &(opened_rule("soak") + SEEN_RULE),
        config: &config,
        ..Options::default()
    });
    let ended = Arc::new(AtomicBool::new(false));
    let load = load(&Client::plain(daemon.address()), &ended);

    let mood = Arc::new(AtomicU8::new(0));
    let start = {
        let mood = Arc::clone(&mood);
        move || {
            let mood = Arc::clone(&mood);
            Receiver::start(bad, move |_| match MOODS[usize::from(mood.load(Ordering::SeqCst))].0 {
                "500" => Act::Answer(500),
                "429" => Act::Answer(429),
                "slow" => Act::After(Duration::from_millis(1500)),
                _ => Act::Answer(200),
            })
        }
    };
    let mut receiver = Some(start());
    let (mut taken, mut memory) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    let turns = MOODS.iter().enumerate().flat_map(|(turn, (_, times))| std::iter::repeat_n(turn, *times));
    for turn in turns.cycle().skip(1) {
        thread::sleep(Duration::from_secs(10));
        memory.push(daemon.memory().0);
        if begin.elapsed() >= length {
            break;
        }
        mood.store(u8::try_from(turn)?, Ordering::SeqCst);
        match (MOODS[turn].0, receiver.take()) {
            ("gone", old) => taken.extend(old.into_iter().flat_map(Receiver::stop)),
            (_, old) => receiver = Some(old.unwrap_or_else(&start)),
        }
    }
    mood.store(0, Ordering::SeqCst);
    let receiver = receiver.unwrap_or_else(&start);
    ended.store(true, Ordering::SeqCst);
    let Load { opened, flooded, latencies } = load.join().expect("the load ends")?;
    let written = (opened + flooded + latencies.len() as u64) as f64;
    daemon
        .until("everything is journaled", |daemon| daemon.metric("yagura_journal_written_total") == written);
    let drained = Instant::now();
    let lanes =
        || ["bad", "good"].into_iter().flat_map(|sink| ["platform", "flood", "quiet"].map(|t| (sink, t)));
    let of = |name: &str, (sink, tenant): (&str, &str)| {
        daemon.metric(&format!("yagura_sink_{name}{{sink=\"{sink}\",tenant=\"{tenant}\"}}"))
    };
    daemon.until("everything is sent", |_| lanes().map(|lane| of("unsent", lane)).sum::<f64>() == 0.0);
    let drained = drained.elapsed();
    for lane in lanes() {
        ensure!(of("lost_total", lane) + of("rejected_total", lane) == 0.0, "{lane:?} lost something");
    }
    taken.extend(receiver.bodies());
    let balance = daemon.stop().balance();
    ensure!(balance["dropped"] == 0 && balance["lost"] == 0, "{balance}");

    let journal = yagura(&["journal", "export", "--path", path.to_str().context("text")?]);
    ensure!(journal.status.success(), "the journal cannot be read");
    let journal = by_tenant(&[String::from_utf8(journal.stdout)?])?;
    for (name, bodies) in [("bad", &taken), ("good", &steady.bodies())] {
        let came = by_tenant(bodies)?;
        let count: usize = came.values().map(Vec::len).sum();
        for (tenant, kept) in &journal {
            let came = once(came.get(tenant).context("nothing came")?);
            ensure!(came == *kept, "{name}: {} of {} of {tenant} came in order", came.len(), kept.len());
        }
        println!(
            "sink {name}: {written} detections arrived in order, {} of them again",
            count as f64 - written
        );
    }
    let mut latencies = latencies;
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{minutes} minutes: {opened} system calls and {flooded} audit events of the flood; the quiet tenant was told \
         within {:.1?} (p50), {:.1?} (p99), {:.1?} (max); what was left of the bad receiver's was sent {drained:.1?} after the end",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    let settled = memory.get(memory.len() / 4..).context("too short")?;
    println!(
        "memory after a quarter {:.1} MiB, in the end {:.1} MiB, at most {:.1} MiB",
        mib(settled.first()),
        mib(settled.last()),
        mib(settled.iter().max())
    );
    Ok(())
}

fn mib(kib: Option<&u64>) -> f64 {
    *kib.unwrap_or(&0) as f64 / 1024.0
}

struct Load {
    opened: u64,
    flooded: u64,
    /// From the answer to the API server to the good receiver.
    latencies: Vec<Duration>,
}

/// Makes detections until it is to end.
fn load(client: &Client, ended: &Arc<AtomicBool>) -> thread::JoinHandle<Result<Load>> {
    let (client, ended) = (client.clone(), Arc::clone(ended));
    let over = {
        let ended = Arc::clone(&ended);
        move || ended.load(Ordering::SeqCst)
    };
    thread::spawn(move || {
        let opening = thread::spawn({
            let over = over.clone();
            move || {
                let mut opened = 0;
                while !over() {
                    open("soak", opened);
                    opened += 1;
                    thread::sleep(Duration::from_millis(5));
                }
                opened
            }
        });
        let flooding = thread::spawn({
            let (client, over) = (client.clone(), over.clone());
            move || -> Result<u64> {
                let mut flooded = 0;
                while !over() {
                    flooded += post(&client, "flood", 100, flooded)?;
                    thread::sleep(Duration::from_millis(200));
                }
                Ok(flooded)
            }
        });
        let mut latencies = Vec::new();
        while !over() {
            let begin = Instant::now();
            if post(&client, "quiet", 1, latencies.len() as u64)? == 1 {
                // Told: the good receiver's lane has nothing left of it.
                let metric = "yagura_sink_sent_total{sink=\"good\",tenant=\"quiet\"}";
                let wanted = (latencies.len() + 1) as f64;
                while metrics(&client, metric)? < wanted {
                    ensure!(begin.elapsed() < Duration::from_secs(60), "the quiet tenant is not told");
                    thread::sleep(Duration::from_millis(2));
                }
                latencies.push(begin.elapsed());
            }
            thread::sleep(Duration::from_millis(500));
        }
        let opened = opening.join().expect("it ends");
        Ok(Load { opened, flooded: flooding.join().expect("it ends")?, latencies })
    })
}

/// Posts audit events; how many were taken.
fn post(client: &Client, namespace: &str, count: u64, from: u64) -> Result<u64> {
    let events = (from..from + count).map(|id| audit_event(format!("{namespace}-{id}"), namespace));
    Ok(if post_audit(client, &[], events) == 200 { count } else { 0 })
}

fn metrics(client: &Client, name: &str) -> Result<f64> {
    let text = client.get("/metrics")?.text;
    let found = text.lines().filter_map(|line| line.rsplit_once(' ')).find(|(series, _)| *series == name);
    Ok(found.map_or(Ok(0.0), |(_, value)| value.parse())?)
}

/// The ids in bodies of lines, by tenant.
fn by_tenant(bodies: &[String]) -> Result<HashMap<String, Vec<String>>> {
    let mut all: HashMap<String, Vec<String>> = HashMap::new();
    for line in bodies.iter().flat_map(|body| body.lines()) {
        let detection: Value = serde_json::from_str(line)?;
        let text = |key: &str| detection[key].as_str().map(str::to_owned).context("no id");
        all.entry(text("tenant")?).or_default().push(text("uuid")?);
    }
    Ok(all)
}
