//! What tests make happen, the rules about it, and what became of it.

use std::{collections::HashSet, fmt::Display, fs::File, path::Path};

use serde_json::{Value, json};

use crate::{daemon::yagura, http::Client, repository};

/// A rule about the opens of one test: others open files meanwhile.
pub fn opened_rule(test: &str) -> String {
    format!(
        "- rule: Opened\n  desc: d\n  condition: evt.type = openat and fd.name startswith /yagura-{test}-\n  \
         output: opened %fd.name\n  priority: NOTICE\n"
    )
}

/// An open that [`opened_rule`] is about; the file is not there.
pub fn open(test: &str, name: impl Display) {
    assert!(File::open(format!("/yagura-{test}-{name}")).is_err());
}

/// A rule about each audit event that is complete.
pub const SEEN_RULE: &str = "- rule: Seen\n  desc: d\n  source: k8s_audit\n  condition: ka.stage = ResponseComplete\n  \
                             output: seen %ka.auditid\n  priority: NOTICE\n";

/// An audit event that [`SEEN_RULE`] is about.
pub fn audit_event(id: impl Display, namespace: &str) -> Value {
    json!({"auditID": id.to_string(), "stage": "ResponseComplete", "verb": "get",
           "objectRef": {"resource": "pods", "namespace": namespace}})
}

/// Posts audit events as an API server does, with further header lines; the status of the answer.
pub fn post_audit(client: &Client, headers: &[&str], events: impl IntoIterator<Item = Value>) -> u16 {
    let items: Vec<Value> = events.into_iter().collect();
    let list = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items});
    client.post("/k8s-audit", headers, list.to_string().as_bytes()).expect("an answer").status
}

/// What an API server says of eve, who runs a command in pod web-0 of namespace shop: her session `session` begins at `time`.
pub fn exec_session(command: &[&str], time: &Value) -> Value {
    let words: Vec<String> =
        command.iter().map(|word| format!("command={}", word.replace('/', "%2F"))).collect();
    json!({
        "auditID": "session", "stage": "ResponseStarted", "stageTimestamp": time, "verb": "get",
        "requestURI": format!("/api/v1/namespaces/shop/pods/web-0/exec?{}", words.join("&")),
        "user": {"username": "eve", "groups": ["dev"]}, "sourceIPs": ["10.0.0.7"],
        "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "web-0"},
        "responseStatus": {"code": 101},
    })
}

/// The rule of docs/tenants.md about nodes that are reserved for some images, here for one.
pub fn dedicated_node(image: &str) -> String {
    let page = std::fs::read_to_string(repository().join("docs/tenants.md")).expect("the page");
    let block = page.split("```yaml\n").find(|block| block.starts_with("- list: allowed_images"));
    let block = block.and_then(|block| block.split("```").next()).expect("the example");
    let repository = image.rsplit_once(':').map_or(image, |(repository, _)| repository);
    block
        .replace("registry.example/payments/api", repository)
        .replace("registry.k8s.io/pause", "localhost/pause")
}

/// The lines of a journal, in order.
pub fn journal_lines(path: &Path) -> Vec<String> {
    let output = yagura(&["journal", "export", "--path", path.to_str().expect("text")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// The detections of a journal, in order.
pub fn journaled(path: &Path) -> Vec<Value> {
    journal_lines(path).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The ids of detections.
pub fn uuids(detections: &[Value]) -> Vec<String> {
    detections.iter().map(|detection| detection["uuid"].as_str().expect("an id").to_owned()).collect()
}

/// Each once, in the order in which they came first.
pub fn once(ids: &[String]) -> Vec<String> {
    let mut known = HashSet::new();
    ids.iter().filter(|id| known.insert(*id)).cloned().collect()
}
