//! `make screenshots`: pictures of `dashboards/` after some minutes with a real Yagura. Grafana's panel components draw
//! them in a browser, by `dashboards/render/`: no Grafana does.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use clap::Parser;
use end_to_end::{deployment::Deployment, repository};
use serde_json::json;

#[derive(Debug, Parser)]
struct Args {
    #[arg(long, default_value_t = 15)]
    minutes: u32,
}

fn main() -> Result<()> {
    let Args { minutes } = Args::parse();
    let deployment = Deployment::start();
    let from = now()?;
    let uuid = deployment.session();
    for minute in 0..minutes {
        live(&deployment, minute);
        println!("{} of {minutes} minutes", minute + 1);
    }
    let sources = json!({
        "prometheus": format!("http://{}", deployment.prometheus.server.address()),
        "pushed": deployment.pushed(&uuid),
        "from": from,
        "to": now()?,
    });
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sources.json");
    std::fs::write(&file, sources.to_string())?;
    let status = Command::new("node")
        .arg(repository().join("dashboards/render/build/main.js"))
        .arg(file)
        .arg(repository().join("dashboards"))
        .arg(repository().join("docs/images/dashboards"))
        .status()?;
    ensure!(status.success(), "the dashboards could not be drawn");
    deployment.stop();
    Ok(())
}

/// Milliseconds since the epoch.
fn now() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?)
}

/// A minute in which something else happens than in the one before: a flood that swells and ebbs, an intrusion in every
/// third, other rules in every fifth, and a receiver that fails in every seventh.
fn live(deployment: &Deployment, minute: u32) {
    deployment.webhook_answers(if minute % 7 == 5 { 503 } else { 200 });
    if minute % 5 == 2 {
        deployment.reload(["INFO", "NOTICE"][minute as usize % 2]);
    }
    let end = Instant::now() + Duration::from_secs(60);
    let pace = Duration::from_millis(u64::from(500 + 700 * (minute % 4)));
    for round in 0.. {
        if Instant::now() >= end {
            return;
        }
        deployment.flood(minute * 1000 + round);
        if minute % 3 == 1 && round % 8 == 0 {
            deployment.intrude(round as usize / 8);
        }
        thread::sleep(pace);
    }
}
