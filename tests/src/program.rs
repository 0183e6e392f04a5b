//! A real server of somebody else's, with everything of its own in one folder, on a port of its own.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::DEADLINE;

/// Killed when dropped.
#[derive(Debug)]
pub struct Program {
    program: &'static str,
    args: Vec<String>,
    /// A path that it answers with 200 once it is ready.
    ready: &'static str,
    address: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
}

impl Program {
    /// Starts a program and waits until it is ready. `args` are made from its folder.
    pub fn start(
        program: &'static str,
        address: SocketAddr,
        ready: &'static str,
        args: impl FnOnce(&Path) -> Vec<String>,
    ) -> Program {
        let folder = crate::folder(&format!("yagura-{program}-"));
        let args = args(folder.path());
        let mut server = Program { program, args, ready, address, folder, child: None };
        server.restart();
        server
    }

    /// Starts it again, with what it had.
    pub fn restart(&mut self) {
        self.stop();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a file");
        let child = Command::new(self.program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("it starts"));
        let end = Instant::now() + DEADLINE;
        while !self.try_get(self.ready).is_ok_and(|(status, _)| status == 200) {
            assert!(Instant::now() < end, "{} is not ready:\n{}", self.program, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _asked = Command::new("kill").arg(child.id().to_string()).status();
        let end = Instant::now() + DEADLINE;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _killed = child.kill();
                let _status = child.wait();
                panic!("{} does not end:\n{}", self.program, self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    /// The body of an answer with 200.
    pub fn get(&self, path: &str) -> String {
        let (status, body) = self.try_get(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub fn json(&self, path: &str) -> Value {
        let body = self.get(path);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    fn try_get(&self, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        // 1.0: an answer without chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        match (status, body) {
            (Some(status), Some(body)) => Ok((status, body)),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}
