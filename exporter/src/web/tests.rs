use std::{
    io::{Read, Write},
    net::TcpStream as StdStream,
};

use super::*;
use crate::{
    audit::{Intake, Taken},
    config::{AuditConfig, TokenSource, WebConfig},
    metrics::{JournalCounters, Ledger},
};

const TOKEN: &str = "correct-horse-battery-staple";

struct Running {
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    intake: Arc<Intake>,
    _runtime: tokio::runtime::Runtime,
}

fn start() -> Running {
    let ledger = Ledger {
        kernel: Arc::new(|| None),
        engine: Arc::default(),
        audit: Arc::default(),
        stdout: Arc::default(),
        recording: Arc::default(),
        containers: Arc::default(),
        kubernetes: Arc::default(),
        journal: Arc::new(JournalCounters::new().unwrap()),
        sinks: crate::metrics::SinkMetrics::default(),
    };
    let metrics = Arc::new(Metrics::new(ledger).unwrap());
    let health = Arc::new(Health::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let address = server.address().unwrap();
    let config = AuditConfig { max_body: 4096, queue_events: 3, ..AuditConfig::default() };
    let intake = Arc::new(Intake::new(&config, Arc::default()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TOKEN).unwrap();
    let tokens = vec![TokenSource::File(file.path().to_owned())];
    let state = Arc::new(State {
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        protection: Arc::new(Protection::new(&WebConfig { tls: None, tokens }).unwrap()),
        audit: Some(AuditEndpoint::new(Arc::clone(&intake), config.max_body)),
    });
    runtime.spawn(server.serve(state));
    Running { address, health, metrics, intake, _runtime: runtime }
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

/// Posts a body to `/k8s-audit`; the answer's head and body.
fn post(running: &Running, headers: &str, body: &[u8]) -> String {
    let mut stream = StdStream::connect(running.address).unwrap();
    let head = format!(
        "POST /k8s-audit HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that has answered already may not take it.
    let _ = stream.write_all(body);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn events(ids: &[&str]) -> Vec<u8> {
    let items: Vec<_> =
        ids.iter().map(|id| format!(r#"{{"auditID":"{id}","stage":"ResponseComplete"}}"#)).collect();
    format!(r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{}]}}"#, items.join(","))
        .into_bytes()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn audit_events_are_taken_whole_or_refused_with_the_reason() {
    let running = start();
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let json = format!("{token}Content-Type: application/json\r\n");
    let packed = format!("{json}Content-Encoding: gzip\r\n");
    let bomb = gzip(&vec![b' '; 1 << 17]);
    assert!(bomb.len() < 4096);
    for (headers, body, status, contains) in [
        (String::new(), events(&["a"]), "401 Unauthorized", "www-authenticate: Bearer\r\n"),
        (
            "Authorization: Bearer wrong-token-of-16\r\n".into(),
            events(&["a"]),
            "401",
            "certificate or a bearer token",
        ),
        (token.clone(), events(&["a"]), "415", "application/json"),
        (format!("{token}Content-Type: text/plain\r\n"), events(&["a"]), "415", "application/json"),
        (format!("{json}Content-Encoding: br\r\n"), events(&["a"]), "415", "gzip"),
        (json.clone(), b"{\n\"kind\": 3}".to_vec(), "400 Bad Request", "line 2 column 9"),
        (
            json.clone(),
            String::from_utf8(events(&["a"])).unwrap().replace("auditID", "id").into_bytes(),
            "400",
            "/items/0: missing field",
        ),
        (json.clone(), vec![b'x'; 4097], "413 Payload Too Large", "more than 4096 bytes"),
        (json.clone(), events(&["a", "b", "c", "d"]), "413", "4 events; a request may have 3"),
        (packed.clone(), bomb, "413", "more than 4096 bytes"),
        (packed.clone(), events(&["a"]), "400", "not gzip"),
        (json.clone(), events(&["a", "b"]), "200 OK", "accepted 2, of these repeated 0"),
        (json.clone(), events(&["b"]), "200 OK", "accepted 1, of these repeated 1"),
        (packed.clone(), gzip(&events(&["b", "c"])), "200 OK", "accepted 2, of these repeated 1"),
        (json.clone(), events(&["d"]), "429 Too Many Requests", "retry-after: 1\r\n"),
        (format!("{json}X: y\r\n"), events(&["c"]), "200 OK", "repeated 1"),
    ] {
        let answer = post(&running, &headers, &body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
        assert!(answer.contains(contains), "{headers}: {answer}");
    }
    let taken = std::iter::repeat_with(|| running.intake.take(Duration::ZERO));
    assert_eq!(taken.take_while(|taken| matches!(taken, Taken::Event(_))).count(), 3);
    assert!(get(&running, "GET /k8s-audit").contains("allow: POST\r\n"));
    let metrics = running.metrics.text(View::Everything).unwrap();
    for (result, count) in [
        ("accepted", 4),
        ("unauthorized", 2),
        ("unsupported", 4),
        ("too_large", 3),
        ("invalid", 3),
        ("busy", 1),
    ] {
        let series = format!("yagura_k8s_audit_requests_total{{result=\"{result}\"}} {count}\n");
        assert!(metrics.contains(&series), "{series}{metrics}");
    }
}
