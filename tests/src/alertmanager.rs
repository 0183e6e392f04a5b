//! An Alertmanager of Debian's, with everything of its own in one folder, asked by amtool.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{DEADLINE, http::Client};

/// Runs until dropped.
#[derive(Debug)]
pub struct Alertmanager {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Alertmanager {
    /// Starts it and waits until it is ready. Its alerts are in memory only: another run knows none.
    pub fn start(address: SocketAddr) -> Alertmanager {
        crate::install("alertmanager");
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("alertmanager.yml");
        fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").expect("a file");
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--web.external-url={}", Alertmanager::url(address)))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus-alertmanager starts");
        let server = Alertmanager { child, address, folder };
        let ready = || Client::plain(address.to_string()).get("/am/-/ready");
        let end = Instant::now() + DEADLINE;
        while !ready().is_ok_and(|answer| answer.status == 200) {
            assert!(Instant::now() < end, "it is never ready\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Where one listens; below a path, as behind an ingress.
    pub fn url(address: SocketAddr) -> String {
        format!("http://{address}/am")
    }

    /// What is firing, as amtool tells it.
    pub fn alerts(&self) -> Vec<Value> {
        let output = Command::new("amtool")
            .arg(format!("--alertmanager.url={}", Alertmanager::url(self.address)))
            .args(["alert", "query", "--output=json"])
            .output()
            .expect("amtool runs");
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), self.log());
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Posts alerts, as somebody else does.
    pub fn post(&self, alerts: &Value) {
        let client = Client::plain(self.address.to_string());
        let answer = client.post("/am/api/v2/alerts", &[], alerts.to_string().as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Waits until something is so of what is firing, which is returned.
    pub fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let end = Instant::now() + DEADLINE;
        loop {
            let alerts = self.alerts();
            if holds(&alerts) {
                return alerts;
            }
            assert!(Instant::now() < end, "never: {what}\n{alerts:#?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
