//! An Alertmanager of Debian's, with everything of its own in one folder, asked by amtool.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{DEADLINE, authority::Authority, http::Client};

/// Who a guarded one lets in. The hash is bcrypt's.
pub const USER: &str = "yagura";
pub const PASSWORD: &str = "open sesame";
const HASH: &str = "$2b$04$qTfZBlJLbcMwBej8SFS/DO3HCL.4fMmffr0Y0z8hlVa0/xSJOsOnK";

/// A configuration with which nobody is told.
const NOBODY: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";

/// Runs until dropped.
#[derive(Debug)]
pub struct Alertmanager {
    child: Child,
    /// Where it listens.
    pub url: String,
    folder: TempDir,
}

impl Alertmanager {
    /// Starts it and waits until it is ready. Its alerts are in memory only: another run knows none.
    pub fn start(address: SocketAddr) -> Alertmanager {
        Alertmanager::start_with(address, NOBODY)
    }

    /// The same with a text as its configuration.
    pub fn start_with(address: SocketAddr, config: &str) -> Alertmanager {
        Alertmanager::launch(address, tempfile::tempdir().expect("a folder"), false, config)
    }

    /// One that asks for a client's certificate and for a password ([`USER`], [`PASSWORD`]). Whom it trusts and what it
    /// takes are in its folder: `ca.pem`, `client.pem`, `client.key`.
    pub fn start_guarded(address: SocketAddr) -> Alertmanager {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new();
        let (server, client) = (authority.server(&["127.0.0.1"]), authority.client(&["yagura"]));
        let at = |name: &str| folder.path().join(name).display().to_string();
        for (name, text) in [
            ("ca.pem", &authority.pem),
            ("server.pem", &server.0),
            ("server.key", &server.1),
            ("client.pem", &client.0),
            ("client.key", &client.1),
        ] {
            fs::write(at(name), text).expect("a file");
        }
        let web = json!({
            "tls_server_config": {"cert_file": at("server.pem"), "key_file": at("server.key"),
                                  "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": at("ca.pem")},
            "basic_auth_users": {USER: HASH},
        });
        let amtool = json!({
            "basic_auth": {"username": USER, "password": PASSWORD},
            "tls_config": {"ca_file": at("ca.pem"), "cert_file": at("client.pem"), "key_file": at("client.key")},
        });
        // JSON is YAML.
        fs::write(at("web.yml"), web.to_string()).expect("a file");
        fs::write(at("amtool.yml"), amtool.to_string()).expect("a file");
        Alertmanager::launch(address, folder, true, NOBODY)
    }

    fn launch(address: SocketAddr, folder: TempDir, guarded: bool, config: &str) -> Alertmanager {
        crate::install("alertmanager");
        let url = if guarded { format!("https://{address}/am") } else { Alertmanager::url(address) };
        let file = folder.path().join("alertmanager.yml");
        fs::write(&file, config).expect("a file");
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new("prometheus-alertmanager");
        if guarded {
            command.arg(format!("--web.config.file={}", folder.path().join("web.yml").display()));
        }
        let child = command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--web.external-url={url}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus-alertmanager starts");
        let server = Alertmanager { child, url, folder };
        let end = Instant::now() + DEADLINE;
        while server.query().is_err() {
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
        self.query().unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    fn query(&self) -> Result<Vec<Value>, String> {
        let mut command = Command::new("amtool");
        let config = self.folder().join("amtool.yml");
        if config.exists() {
            command.arg(format!("--http.config.file={}", config.display()));
        }
        command.arg(format!("--alertmanager.url={}", self.url)).args(["alert", "query", "--output=json"]);
        let output = command.output().expect("amtool runs");
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Everything of its own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Posts alerts, as somebody else does.
    pub fn post(&self, alerts: &Value) {
        let address = self.url.trim_start_matches("http://").trim_end_matches("/am");
        let client = Client::plain(address.to_owned());
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
