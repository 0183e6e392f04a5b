use std::{
    io::{Read, Write},
    net::TcpStream as StdStream,
};

use super::*;
use crate::{
    audit::{Intake, Taken},
    config::{AuditConfig, TokenConfig, WebConfig},
    metrics::{Ledger, Series, View},
    secret::Secret,
};

const TOKEN: &str = "correct-horse-battery-staple";
/// Tokens by what they are for.
const TOKENS: [(&str, &str); 5] = [
    ("all", TOKEN),
    ("read", "a-token-that-only-reads"),
    ("audit", "a-token-of-an-api-server"),
    ("shop", "a-token-of-the-tenant-shop"),
    ("ml", "a-token-of-the-tenant-ml"),
];

struct Running {
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    intake: Arc<Intake>,
    _runtime: tokio::runtime::Runtime,
}

fn start() -> Running {
    let files = tempfile::tempdir().unwrap();
    let tokens = TOKENS.map(|(name, token)| {
        let path = files.path().join(name);
        std::fs::write(&path, token).unwrap();
        let access = match name {
            "all" => Access::All,
            "read" => Access::Read,
            "audit" => Access::Audit,
            tenant => Access::Tenant(tenant.into()),
        };
        TokenConfig { secret: Secret::File(path), access }
    });
    serve(&WebConfig { tls: None, tokens: tokens.into() })
}

fn serve(web: &WebConfig) -> Running {
    let ledger = Ledger::new(Arc::new(|| None)).unwrap();
    let metrics = Arc::new(Metrics::new(ledger).unwrap());
    let health = Arc::new(Health::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let address = server.address().unwrap();
    let config = AuditConfig { max_body: 4096, queue_events: 3, ..AuditConfig::default() };
    let intake = Arc::new(Intake::new(&config, Arc::default()));
    let state = Arc::new(State {
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        protection: Arc::new(Protection::new(web).unwrap()),
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
    let running = serve(&WebConfig::default());
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

/// The pages that there are, and what a request of each is answered with, by the token that it has.
#[test]
fn every_page_shows_whoever_asks_their_own_and_no_more() {
    let running = start();
    for tenant in ["shop", "ml"] {
        let (rule, priority, source) = ("r", "Notice", "syscall");
        running.metrics.detections_of(Series { tenant, namespace: "", rule, priority, source }).inc();
    }
    let wrong = "a-token-that-nobody-has";
    let by_name =
        |name: &str| TOKENS.iter().find(|(known, _)| *known == name).map_or(wrong, |(_, token)| token);
    for (line, answers) in [
        ("GET /livez", [200; 7]),
        ("GET /readyz", [503; 7]),
        //                             none wrong all  read audit shop ml
        ("GET /metrics", [401, 401, 200, 200, 403, 200, 200]),
        ("HEAD /metrics", [401, 401, 200, 200, 403, 200, 200]),
        ("GET /metrics?tenant=shop", [401, 401, 200, 200, 403, 200, 403]),
        ("GET /metrics?x=1&tenant=sho%70", [401, 401, 200, 200, 403, 200, 403]),
        // The first counts, whatever comes after.
        ("GET /metrics?tenant=ml&tenant=shop", [401, 401, 200, 200, 403, 403, 200]),
        ("GET /metrics?tenant=platform", [401, 401, 200, 200, 403, 403, 403]),
        ("GET /metrics?tenant=", [401, 401, 200, 200, 403, 403, 403]),
        ("GET /k8s-audit", [405; 7]),
        // What has no body is no audit event; whoever may post is told so.
        ("POST /k8s-audit", [401, 401, 415, 403, 415, 403, 403]),
        ("GET /", [404; 7]),
        ("GET /api/v1/detections", [404; 7]),
    ] {
        for (name, expected) in ["none", "wrong", "all", "read", "audit", "shop", "ml"].iter().zip(answers) {
            let token = match *name {
                "none" => String::new(),
                name => format!("Authorization: Bearer {}\r\n", by_name(name)),
            };
            let answer = ask(
                running.address,
                &format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}\r\n"),
            );
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{line} {name}: {answer}");
            for (own, other) in [("shop", "ml"), ("ml", "shop")] {
                assert!(*name != own || !answer.contains(&format!("tenant=\"{other}\"")), "{line}: {answer}");
                assert!(*name != own || !answer.contains("yagura_build_info"), "{line}: {answer}");
            }
            if line.starts_with("GET /metrics") && expected == 200 {
                let is_one = line.contains("tenant=");
                assert_eq!(
                    answer.contains("yagura_build_info"),
                    !is_one && matches!(*name, "all" | "read") || line.ends_with("platform"),
                    "{line} {name}"
                );
            }
        }
    }
    assert!(running.metrics.http_denied.get() > 20);
}

#[test]
fn metrics_are_packed_for_who_takes_it() {
    let running = serve(&WebConfig::default());
    let mut stream = StdStream::connect(running.address).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    assert!(head.contains("content-encoding: gzip\r\n") && head.contains("vary: accept-encoding"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer[end..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("yagura_rules_loaded 0\n"), "{text}");
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
        (
            format!("Authorization: Bearer {}\r\n", TOKENS[3].1),
            events(&["a"]),
            "403",
            "this token is for reading",
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
        ("unauthorized", 3),
        ("unsupported", 4),
        ("too_large", 3),
        ("invalid", 3),
        ("busy", 1),
    ] {
        let series = format!("yagura_k8s_audit_requests_total{{result=\"{result}\"}} {count}\n");
        assert!(metrics.contains(&series), "{series}{metrics}");
    }
}
