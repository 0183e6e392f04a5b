//! Kubernetes audit events from a request to a line on stdout.

use std::{fs, io::Write};

use end_to_end::{
    activity::exec_session,
    authority::Authority,
    containerd::{Container, Containerd, Pod},
    daemon::{Daemon, Options, yagura},
    http::Client,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

/// Recorded from an API server, by what happened.
const EVENTS: &str = include_str!("../../exporter/src/audit/tests/events.json");

const RULES: &str = "
- rule: Exec
  desc: d
  source: k8s_audit
  condition: ka.target.subresource = exec
  output: exec id=%ka.auditid
  priority: NOTICE
- rule: Answered
  desc: d
  source: k8s_audit
  condition: ka.stage = ResponseComplete
  output: answered %ka.verb %ka.target.resource id=%ka.auditid
  priority: DEBUG
";

fn off() -> bool {
    !end_to_end::kernel_tests_run()
}

fn recorded() -> Vec<Value> {
    let events: serde_json::Map<String, Value> = serde_json::from_str(EVENTS).expect("JSON");
    events.into_iter().map(|(_, event)| event).collect()
}

fn list(items: &[Value]) -> Vec<u8> {
    json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items})
        .to_string()
        .into_bytes()
}

/// An event of which nothing but the id is of interest.
fn event(id: &str) -> Value {
    json!({"auditID": id, "stage": "ResponseComplete", "verb": "get", "objectRef": {"resource": "pods"}})
}

fn has(detection: &Value, id: &str) -> bool {
    detection["output"].as_str().is_some_and(|output| output.ends_with(&format!("id={id}")))
}

#[test]
fn what_an_api_server_sends_is_detected_once_and_accounted_for() {
    if off() {
        return;
    }
    let daemon = Daemon::start(&Options { rules: RULES, ..Options::default() });
    let client = Client::plain(daemon.address());
    let events = recorded();
    let post = |headers: &[&str], body: &[u8]| client.post("/k8s-audit", headers, body).expect("an answer");
    let answer = post(&[], &list(&events));
    assert_eq!(answer.status, 200, "{}", answer.text);
    for event in &events {
        let id = event["auditID"].as_str().expect("an id");
        let (exec, answered) =
            (event["objectRef"]["subresource"] == "exec", event["stage"] == "ResponseComplete");
        if exec || answered {
            let detection = daemon.detection(|detection| has(detection, id));
            assert_eq!(detection["rule"], if exec { "Exec" } else { "Answered" });
            assert_eq!(
                (&detection["source"], &detection["tenant"]),
                (&json!("k8s_audit"), &json!("platform"))
            );
            let stamp = event["stageTimestamp"].as_str().expect("a time").trim_end_matches('Z');
            assert!(detection["time"].as_str().expect("a time").starts_with(stamp), "{detection}");
        }
    }
    // Sent again, as they are and packed: nothing is detected twice.
    let answer = post(&[], &list(&events));
    assert!(
        answer.text.ends_with(&format!("accepted {0}, of these repeated {0}\n", events.len())),
        "{}",
        answer.text
    );
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&list(&events[..2])).expect("packed");
    let answer = post(&["Content-Encoding: gzip"], &packed.finish().expect("packed"));
    assert!(answer.text.ends_with("accepted 2, of these repeated 2\n"), "{}", answer.text);
    // What is refused says why.
    for (body, status, contains) in [
        (b"{\n\"kind\": }".to_vec(), 400, "line 2 column 9"),
        (list(&[json!({"stage": "Panic"})]), 400, "/items/0: missing field `auditID`"),
        (vec![b' '; (16 << 20) + 1], 413, "more than 16777216 bytes"),
    ] {
        let answer = post(&[], &body);
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.text.contains(contains), "{}", answer.text);
    }
    let metric = |name: &str| daemon.metric(name);
    assert_eq!(metric("yagura_k8s_audit_requests_total{result=\"accepted\"}"), 3.0);
    assert_eq!(metric("yagura_k8s_audit_requests_total{result=\"invalid\"}"), 2.0);
    assert_eq!(metric("yagura_k8s_audit_requests_total{result=\"too_large\"}"), 1.0);
    assert_eq!(metric("yagura_k8s_audit_repeated_total"), events.len() as f64 + 2.0);
    let stages = ["ResponseComplete", "ResponseStarted"];
    let seen: f64 = stages
        .map(|stage| metric(&format!("yagura_events_total{{source=\"k8s_audit\",type=\"{stage}\"}}")))
        .iter()
        .sum();
    assert_eq!(seen, events.len() as f64);
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(0));
    let counters = ended.balance();
    assert_eq!(counters["detections"], ended.detections().len(), "{counters}");
}

#[test]
fn our_own_rules_see_a_command_run_in_a_pod() {
    if off() {
        return;
    }
    let daemon = Daemon::start(&Options::default());
    let mut exec =
        recorded().into_iter().find(|event| event["objectRef"]["subresource"] == "exec").expect("one");
    exec["responseStatus"] = json!({"code": 101});
    exec["kind"] = "Event".into();
    exec["apiVersion"] = "audit.k8s.io/v1".into();
    let client = Client::plain(daemon.address());
    assert_eq!(client.post("/k8s-audit", &[], exec.to_string().as_bytes()).expect("an answer").status, 200);
    let detection = daemon.detection(|detection| detection["rule"] == "Command run in a pod");
    assert_eq!(detection["output_fields"]["ka.user.name"], "admin");
    assert_eq!(detection["output_fields"]["ka.target.namespace"], "team-a");
    daemon.stop();
}

#[test]
fn a_reload_exchanges_the_rules_of_audit_events_too() {
    if off() {
        return;
    }
    let daemon = Daemon::start(&Options { rules: RULES, ..Options::default() });
    let client = Client::plain(daemon.address());
    let post = |id: &str| client.post("/k8s-audit", &[], &list(&[event(id)])).expect("an answer").status;
    assert_eq!(post("before"), 200);
    daemon.detection(|detection| has(detection, "before") && detection["rule"] == "Answered");
    daemon.replace_rules(&RULES.replace("Answered", "Renamed"));
    daemon.log(|line| line.contains("rules reloaded"));
    assert_eq!(post("after"), 200);
    daemon.detection(|detection| has(detection, "after") && detection["rule"] == "Renamed");
    daemon.stop();
}

#[test]
fn a_full_queue_sends_the_api_server_away_and_loses_nothing() {
    if off() {
        return;
    }
    let config = "k8s_audit: {queue_events: 16}\n";
    let daemon = Daemon::start(&Options { rules: RULES, config, ..Options::default() });
    let client = Client::plain(daemon.address());
    // Large enough that reading them takes longer than it takes others to arrive.
    let large = format!("[{}]", vec![r#"{"a":1}"#; 5000].join(","));
    let batch = |number: usize| -> Vec<u8> {
        let events: Vec<String> = (0..16)
            .map(|i| {
                format!(r#"{{"auditID":"{number}-{i}","stage":"ResponseComplete","requestObject":{large}}}"#)
            })
            .collect();
        format!(r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{}]}}"#, events.join(","))
            .into_bytes()
    };
    // As an API server does: again after 429.
    let post = |body: &[u8]| -> usize {
        (0..)
            .find(|_| {
                let answer = client.post("/k8s-audit", &[], body).expect("an answer");
                assert!(matches!(answer.status, 200 | 429), "{}", answer.text);
                assert!(
                    answer.status == 200 || answer.text.contains("retry-after: 1\r\n"),
                    "{}",
                    answer.text
                );
                answer.status == 200
            })
            .expect("it is taken at last")
    };
    let (mut sent, mut refused) = (0, 0);
    while refused == 0 {
        assert!(sent < 400, "it is never full");
        let bodies: Vec<_> = (sent..sent + 4).map(batch).collect();
        sent += bodies.len();
        refused += std::thread::scope(|scope| {
            let posts: Vec<_> = bodies.iter().map(|body| scope.spawn(|| post(body))).collect();
            posts.into_iter().map(|post| post.join().expect("posted")).sum::<usize>()
        });
    }
    daemon.until("all are handled", |daemon| {
        daemon.metric("yagura_events_matched_total") == (sent * 16) as f64
    });
    let ended = daemon.stop();
    let counters = ended.balance();
    assert_eq!(counters["matched"], sent * 16, "{counters}");
}

#[test]
fn a_token_is_asked_for() {
    if off() {
        return;
    }
    let token = "a-token-that-nobody-guesses";
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), token).expect("a file");
    let config = format!("web: {{tokens: [{{file: {}}}]}}\n", file.path().display());
    let daemon = Daemon::start(&Options { rules: RULES, config: &config, ..Options::default() });
    let client = Client::plain(daemon.address());
    for (header, status) in [
        ("X: y".to_owned(), 401),
        ("Authorization: Bearer a-token-that-nobody-guesseS".into(), 401),
        (format!("Authorization: Bearer {token}"), 200),
    ] {
        let answer = client.post("/k8s-audit", &[&header], &list(&[event("a")])).expect("an answer");
        assert_eq!(answer.status, status, "{header}: {}", answer.text);
    }
    assert_eq!(client.get("/readyz").expect("an answer").status, 200, "probes have no token");
    assert!(daemon.logs().iter().all(|line| !line.contains(token)));
    daemon.stop();
}

#[test]
fn a_clients_certificate_is_asked_for() {
    if off() {
        return;
    }
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (certificate, key) = servers.server(&["127.0.0.1"]);
    let config = format!(
        "web: {{tls: {{certificate: {}, key: {}, client_ca: {}}}}}\n",
        file("server.crt", &certificate),
        file("server.key", &key),
        file("clients.crt", &clients.pem),
    );
    let daemon = Daemon::start(&Options { rules: RULES, config: &config, ..Options::default() });
    let ours = clients.client(&["api-server"]);
    let foreign = strangers.client(&["api-server"]);
    let client = |identity: Option<&(String, String)>| {
        let identity = identity.map(|(certificate, key)| (&**certificate, &**key));
        Client::tls(daemon.address(), &servers.pem, identity)
    };
    let post = |client: &Client, id: &str| client.post("/k8s-audit", &[], &list(&[event(id)]));
    assert_eq!(post(&client(Some(&ours)), "ours").expect("an answer").status, 200);
    daemon.detection(|detection| has(detection, "ours"));
    assert_eq!(post(&client(None), "nobody").expect("an answer").status, 401);
    assert!(post(&client(Some(&foreign)), "foreign").is_err(), "the handshake fails");
    assert!(post(&Client::plain(daemon.address()), "plain").is_err(), "it speaks TLS only");
    assert_eq!(client(None).get("/metrics").expect("an answer").status, 401);
    assert_eq!(client(None).get("/readyz").expect("an answer").status, 200, "probes have no certificate");
    let metrics = client(Some(&ours)).get("/metrics").expect("an answer");
    assert_eq!(metrics.status, 200);
    assert!(metrics.text.contains("yagura_http_tls_failed_total 2\n"), "{}", metrics.text);
    assert!(metrics.text.contains("yagura_k8s_audit_requests_total{result=\"unauthorized\"} 1\n"));
    let ended = daemon.stop();
    assert_eq!(ended.detections().len(), 1);
}

#[test]
fn it_does_not_start_where_anybody_could_post() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("yagura.yaml");
    for (config, expected) in [
        ("listen: 0.0.0.0:0\n", "1:9: anybody who reaches 0.0.0.0:0 could read the metrics of every tenant"),
        ("web: {tokens: [{env: YAGURA_NO_SUCH_TOKEN}]}\n", "variable YAGURA_NO_SUCH_TOKEN is not set"),
        ("web: {tokens: [{file: /dev/null}]}\n", "/dev/null: a token has at least 16 characters"),
        ("web: {tls: {certificate: /dev/null, key: /dev/null}}\n", "/dev/null: no certificate in it"),
        ("web: {tls: {certificate: /nonexistent, key: /dev/null}}\n", "cannot read /nonexistent"),
    ] {
        fs::write(&path, config).expect("a file");
        let output = yagura(&["run", "--config", path.to_str().expect("text")]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{config}: {stderr}");
        assert!(stderr.contains(expected), "{config}: {stderr}");
    }
}

#[test]
fn a_command_in_a_pod_is_tied_to_whoever_ran_it() {
    if off() {
        return;
    }
    let image = "docker.io/library/app:1";
    let server = Containerd::start();
    server.import(image, &[]);
    let cri = server.cri();
    let pod = Pod {
        name: "web-0",
        namespace: "shop",
        uid: "0f3a1b2c-2222-4444-8888-000000000002",
        ..Pod::default()
    };
    let sandbox = cri.run_pod(&pod);
    let main = Container { name: "main", image, command: &["/bin/sleep", "1000"], ..Container::default() };
    let container = cri.run(&sandbox, &pod, &main);
    let rules = format!(
        "{RULES}
- rule: Started
  desc: d
  condition: evt.type in (execve, execveat) and evt.res = SUCCESS and k8s.pod.name = web-0
  output: started %proc.cmdline
  priority: NOTICE
"
    );
    let config = format!("container_engines: {{root: {}, wait: 5s}}\n", server.root().display());
    let daemon = Daemon::start(&Options { rules: &rules, config: &config, ..Options::default() });
    let started = |what: &str| {
        daemon.detection(|detection| {
            detection["output"].as_str().is_some_and(|output| output.ends_with(&format!("started {what}")))
        })
    };
    // The kernel sees the command before the API server has told of it.
    cri.exec(&container, &["/bin/cat", "/etc/image"]);
    let before = started("cat /etc/image");
    assert_eq!(before["correlation"], Value::Null, "{before}");
    let exec = exec_session(&["cat", "/etc/image"], &before["time"]);
    let client = Client::plain(daemon.address());
    assert_eq!(client.post("/k8s-audit", &[], &list(&[exec])).expect("an answer").status, 200);
    let told = daemon.detection(|detection| has(detection, "session"));
    let related = told["correlation"]["detections"].as_array().expect("detections");
    assert!(related.contains(&json!({"uuid": before["uuid"], "rule": "Started"})), "{told}");
    // From now on it knows.
    cri.exec(&container, &["/bin/ls", "/bin"]);
    let after = started("ls /bin");
    let session = &after["correlation"]["k8s_exec"];
    assert_eq!((&session["user"], &session["source_ips"]), (&json!("eve"), &json!(["10.0.0.7"])), "{after}");
    assert_eq!(session["command"], json!(["cat", "/etc/image"]), "{after}");
    assert_eq!(session["audit_id"], "session", "{after}");
    daemon.stop();
}
