//! Whether everybody has been told of everything.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use end_to_end::{DEADLINE, prometheus::Labels};

use crate::{acts::ACTS, apart::Stop, stage::Stage};

/// Tenant, namespace, and rule or alert.
type Key = [String; 3];

/// Prometheus' own, of several rules in one namespace.
const BURST: [&str; 3] = ["shop", "shop", "YaguraAttackBurst"];

const COUNTED: &str = "yagura_detections_total > 0";

fn keys(series: Vec<(Labels, f64)>) -> BTreeSet<Key> {
    let of = |labels: &Labels, name: &str| labels.get(name).cloned().unwrap_or_default();
    series.iter().map(|(labels, _)| ["tenant", "namespace", "rule"].map(|name| of(labels, name))).collect()
}

fn alerts(stage: &Stage) -> BTreeSet<Key> {
    let of =
        |alert: &serde_json::Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
    let alerts = stage.alertmanager.alerts();
    alerts.iter().map(|alert| ["tenant", "namespace", "alertname"].map(|name| of(alert, name))).collect()
}

/// Waits until each act that is told is in all three; an error says what is missing where.
pub fn everywhere(stage: &Stage, stop: &Stop) -> Result<()> {
    let told =
        ACTS.iter().filter_map(|act| Some([act.tenant, act.namespace(), act.told?].map(str::to_owned)));
    let told: BTreeSet<Key> = told.collect();
    let mut alerting = told.clone();
    alerting.insert(BURST.map(str::to_owned));
    println!();
    wait("Prometheus", &told, stop, || keys(stage.prometheus.query(COUNTED)))?;
    wait("VictoriaMetrics", &told, stop, || keys(stage.victoria.query(COUNTED)))?;
    wait("Alertmanager", &alerting, stop, || alerts(stage))
}

fn wait(who: &str, expected: &BTreeSet<Key>, stop: &Stop, ask: impl Fn() -> BTreeSet<Key>) -> Result<()> {
    let end = Instant::now() + DEADLINE;
    loop {
        let has = ask();
        let missing: Vec<&Key> = expected.difference(&has).collect();
        if missing.is_empty() {
            println!("{who} has all {} of them", expected.len());
            return Ok(());
        }
        ensure!(Instant::now() < end, "{who} does not have {missing:?}");
        // Between two looks, not to wait for anything.
        stop.pause(Duration::from_millis(100))?;
    }
}
