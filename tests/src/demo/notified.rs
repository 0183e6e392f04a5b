//! Whoever Alertmanager notifies by `alerts/alertmanager.yaml`: a double of Slack, of PagerDuty and of a tenant's webhook,
//! which prints what it is told.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Result, ensure};
use end_to_end::{
    repository,
    server::{Reply, Server},
};
use serde_json::Value;

pub fn start(address: SocketAddr) -> Server {
    Server::start(address, None, |request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |place: &str| body.pointer(place).and_then(Value::as_str).unwrap_or("?");
        let (who, what) = match &*request.path {
            "/slack" => (text("/channel"), text("/attachments/0/title")),
            "/pagerduty" => ("PagerDuty", text("/payload/summary")),
            _ => ("webhook of research", text("/groupLabels/alertname")),
        };
        println!("{who:<32} ← {what}");
        Reply::Answer(200, "ok".into())
    })
}

/// The example for Alertmanager, with its receivers and secrets here, and shorter waits.
pub fn config(address: SocketAddr, folder: &Path) -> Result<String> {
    let secrets = folder.join("secrets");
    fs::create_dir(&secrets)?;
    fs::write(secrets.join("slack-url"), format!("http://{address}/slack"))?;
    for name in ["platform-pagerduty", "shop-pagerduty"] {
        fs::write(secrets.join(name), "no key is needed")?;
    }
    let alerts = repository().join("alerts");
    let mut text = fs::read_to_string(alerts.join("alertmanager.yaml"))?;
    for (from, to) in [
        ("global:\n", format!("global:\n  pagerduty_url: http://{address}/pagerduty\n")),
        ("/etc/alertmanager/secrets", secrets.display().to_string()),
        ("templates/*.tmpl", alerts.join("templates/*.tmpl").display().to_string()),
        ("http://hooks.research.svc:8080/yagura", format!("http://{address}/research")),
        ("group_wait: 30s", "group_wait: 1s".into()),
    ] {
        ensure!(text.contains(from), "alerts/alertmanager.yaml has no {from}");
        text = text.replace(from, &to);
    }
    Ok(text)
}
