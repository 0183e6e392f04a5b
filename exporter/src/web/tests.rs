use std::{
    io::{Read, Write},
    net::TcpStream as StdStream,
};

use super::*;
use crate::metrics::Ledger;

struct Running {
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    _runtime: tokio::runtime::Runtime,
}

fn start() -> Running {
    let ledger = Ledger {
        kernel: Arc::new(|| None),
        engine: Arc::default(),
        stdout: Arc::default(),
        recording: Arc::default(),
        containers: Arc::default(),
    };
    let metrics = Arc::new(Metrics::new(ledger).unwrap());
    let health = Arc::new(Health::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let address = server.address().unwrap();
    let state = Arc::new(State { metrics: Arc::clone(&metrics), health: Arc::clone(&health) });
    runtime.spawn(server.serve(state));
    Running { address, health, metrics, _runtime: runtime }
}

/// Sends `head` on a connection of its own and reads until the server closes it.
fn ask(address: SocketAddr, head: &str) -> String {
    let mut stream = StdStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn get(running: &Running, line: &str) -> String {
    ask(running.address, &format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

#[test]
fn pages_and_errors() {
    let running = start();
    for (line, status, contains) in [
        ("GET /metrics", "200 OK", "yagura_rules_loaded 0\n"),
        ("GET /metrics?x=1", "200 OK", "version=0.0.4"),
        ("GET /livez", "200 OK", "[+]events ok\nok\n"),
        ("GET /readyz", "503 Service Unavailable", "[-]attached failed\n[-]rules failed\n"),
        ("GET /", "404 Not Found", "not found\n"),
        ("GET /metrics/", "404 Not Found", "not found\n"),
        ("POST /metrics", "405 Method Not Allowed", "allow: GET, HEAD\r\n"),
        ("DELETE /readyz", "405 Method Not Allowed", "allow: GET, HEAD\r\n"),
        ("HEAD /livez", "200 OK", "content-length: "),
        ("nonsense", "400 Bad Request", ""),
    ] {
        let answer = get(&running, line);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert!(answer.contains(contains), "{line}: {answer}");
    }
    assert!(get(&running, "HEAD /livez").ends_with("\r\n\r\n"), "HEAD has no body");
}

#[test]
fn ready_once_attached_with_rules_and_not_after_the_end() {
    let running = start();
    let status = |path: &str| get(&running, &format!("GET {path}")).get(9..12).unwrap().to_owned();
    running.health.set_rules_loaded();
    assert_eq!(status("/readyz"), "503");
    running.health.set_attached(true);
    assert_eq!(status("/readyz"), "200");
    running.health.set_ended();
    assert_eq!((status("/readyz"), status("/livez")), ("503".into(), "503".into()));
}

#[test]
fn hostile_requests_are_refused() {
    let running = start();
    let many: String = (0..100).map(|i| format!("X-{i}: y\r\n")).collect();
    let long = "a".repeat(64 << 10);
    for (what, head) in [
        ("headers", format!("GET /livez HTTP/1.1\r\n{many}\r\n")),
        ("path", format!("GET /{long} HTTP/1.1\r\n\r\n")),
    ] {
        let answer = ask(running.address, &head);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
    }
    assert!(get(&running, "GET /livez").starts_with("HTTP/1.1 200"), "still serving");
}

#[test]
fn too_many_connections_are_closed_and_counted() {
    let running = start();
    let held: Vec<StdStream> =
        (0..MAX_CONNECTIONS).map(|_| StdStream::connect(running.address).unwrap()).collect();
    // The connections are accepted in order, so that when this one is closed all others are held.
    assert_eq!(get(&running, "GET /livez"), "");
    assert_eq!(running.metrics.http_refused.get(), 1);
    drop(held);
}
