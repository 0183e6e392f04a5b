//! The watches against a double of an API server: there is none to be had. It speaks what the real one does: lists in pages,
//! watches with bookmarks, 410, and the things that go wrong.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::backoff::Pace;

/// What the double answers.
#[derive(Debug, Default)]
struct Script {
    /// By the path and query's beginning: what is said, once each, the last for ever.
    answers: BTreeMap<&'static str, Vec<Said>>,
    /// Requests as they came: the line, and the token.
    heard: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Said {
    /// A whole answer.
    Json(u16, String),
    /// Lines of a watch, and then the end, or silence, or a line that is torn.
    Lines(Vec<String>, Then),
}

#[derive(Clone, Copy, Debug)]
enum Then {
    End,
    Silence,
    Torn,
}

#[derive(Clone, Default)]
struct Double(Arc<Mutex<Script>>);

impl Double {
    fn say(&self, request: &'static str, said: Said) {
        self.0.lock().unwrap().answers.entry(request).or_default().push(said);
    }

    fn heard(&self, beginning: &str) -> Vec<(String, String)> {
        let script = self.0.lock().unwrap();
        script.heard.iter().filter(|(line, _)| line.starts_with(beginning)).cloned().collect()
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let double = self.clone();
            tokio::spawn(async move {
                let _gone = double.answer(stream).await;
            });
        }
    }

    async fn answer(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
        let token = lines.iter().find_map(|line| line.strip_prefix("authorization: Bearer "));
        let said = {
            let mut script = self.0.lock().unwrap();
            script.heard.push((path.clone(), token.unwrap_or_default().to_owned()));
            // The longest beginning that fits.
            let known = script.answers.iter_mut().filter(|(known, _)| path.starts_with(**known));
            let answers = known.max_by_key(|(known, _)| known.len()).map(|(_, answers)| answers);
            match answers {
                Some(answers) if answers.len() > 1 => Some(answers.remove(0)),
                Some(answers) => answers.first().cloned(),
                None => None,
            }
        };
        let mut stream = stream.into_inner();
        match said.unwrap_or(Said::Json(404, r#"{"message":"no such thing"}"#.into())) {
            Said::Json(status, body) => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await?;
            }
            Said::Lines(lines, then) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                for line in lines {
                    // In two pieces: a line need not come at once.
                    let line = format!("{line}\n");
                    let (one, two) = line.split_at(line.len() / 2);
                    for piece in [one, two] {
                        stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await?;
                        stream.flush().await?;
                    }
                }
                match then {
                    Then::End => stream.write_all(b"0\r\n\r\n").await?,
                    Then::Torn => stream.write_all(b"ff\r\n{\"type\":\"MODIF").await?,
                    Then::Silence => tokio::time::sleep(Duration::from_secs(3600)).await,
                }
            }
        }
        Ok(())
    }
}

fn metadata(namespace: &str, name: &str, uid: &str, version: u32, more: &str) -> String {
    let namespace =
        if namespace.is_empty() { String::new() } else { format!(r#""namespace":"{namespace}","#) };
    format!(
        r#"{{"metadata":{{{namespace}"name":"{name}","uid":"{uid}","resourceVersion":"{version}"{more}}}}}"#
    )
}

fn list(version: u32, next: &str, items: &[String]) -> Said {
    Said::Json(
        200,
        format!(
            r#"{{"kind":"PartialObjectMetadataList","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{}]}}"#,
            items.join(",")
        ),
    )
}

fn event(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

const MADE: &str = r#","labels":{"app":"web"},"annotations":{"a":"b"},"ownerReferences":[{"kind":"ReplicaSet","name":"web-5d","uid":"rs-1","controller":true}]"#;
const PODS: &str = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&limit";
const PODS_WATCH: &str = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&watch";
const NAMESPACES: &str = "/api/v1/namespaces?limit";
const NAMESPACES_WATCH: &str = "/api/v1/namespaces?watch";
const NODES: &str = "/api/v1/nodes?fieldSelector=metadata.name%3Dn1&limit";
const NODES_WATCH: &str = "/api/v1/nodes?fieldSelector=metadata.name%3Dn1&watch";
const REPLICA_SET: &str = "/apis/apps/v1/namespaces/shop/replicasets/web-5d";

/// A cluster with one namespace and one pod of a Deployment's, in which nothing happens.
fn quiet() -> Double {
    let double = Double::default();
    let still = || Said::Lines(Vec::new(), Then::Silence);
    double.say(PODS, list(10, "", &[metadata("shop", "web-0", "u-1", 9, MADE)]));
    double.say(
        NAMESPACES,
        list(
            10,
            "",
            &[metadata(
                "",
                "shop",
                "n-1",
                3,
                r#","labels":{"team":"blue"},"annotations":{"yagura.dev/tenant":"blue","other":"x"}"#,
            )],
        ),
    );
    double.say(NODES, list(10, "", &[metadata("", "n1", "k-1", 3, r#","labels":{"pool":"gpu"}"#)]));
    for watch in [PODS_WATCH, NAMESPACES_WATCH, NODES_WATCH] {
        double.say(watch, still());
    }
    double.say(
        REPLICA_SET,
        Said::Json(
            200,
            metadata(
                "shop",
                "web-5d",
                "rs-1",
                2,
                r#","ownerReferences":[{"kind":"Deployment","name":"web","uid":"d-1","controller":true}]"#,
            ),
        ),
    );
    double
}

struct Watched {
    store: Arc<Store>,
    counters: Arc<KubernetesCounters>,
    folder: tempfile::TempDir,
}

async fn watched(double: &Double, delete_delay: Duration) -> Watched {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(double.clone().serve(listener));
    watched_at(&format!("http://{address}"), delete_delay)
}

fn watched_at(url: &str, delete_delay: Duration) -> Watched {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first-token\n").unwrap();
    let settings = Settings {
        enabled: Some(true),
        api_server: Some(ServerUrl::parse(url).unwrap()),
        token_file: Some(token),
        delete_delay,
        timing: Timing {
            // Longer than this thread stands still: a request that was given up would use up an answer.
            answer: Duration::from_secs(5),
            watch: Duration::from_secs(1),
            pace: Pace { first: Duration::from_millis(5), longest: Duration::from_millis(20) },
        },
        ..Settings::default()
    };
    let counters: Arc<KubernetesCounters> = Arc::default();
    let store = start(&settings, "n1", Arc::clone(&counters)).unwrap().expect("it is on");
    Watched { store, counters, folder }
}

/// Waits until it holds; a defect ends it.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(std::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn failures(watched: &Watched, reason: &str) -> u64 {
    watched.counters.failures().into_iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| count)
}

fn text(labels: Option<&crate::enrich::container::Labels>, name: &str) -> Option<String> {
    labels?.get(name).map(|value| (**value).to_owned())
}

#[tokio::test]
async fn a_pod_has_its_labels_its_namespaces_its_nodes_and_its_makers() {
    let double = quiet();
    let watched = watched(&double, Duration::from_secs(60)).await;
    let whole = || {
        watched.store.pod("u-1").is_some_and(|pod| {
            pod.workloads.is_some() && pod.namespace_labels.is_some() && pod.node_labels.is_some()
        })
    };
    until("everything is known", whole).await;
    let pod = watched.store.pod("u-1").unwrap();
    assert_eq!((pod.name.as_deref(), pod.namespace.as_deref()), (Some("web-0"), Some("shop")));
    assert_eq!(text(pod.labels.as_ref(), "app").as_deref(), Some("web"));
    assert_eq!(text(pod.namespace_labels.as_deref(), "team").as_deref(), Some("blue"));
    assert_eq!(text(pod.namespace_annotations.as_deref(), "yagura.dev/tenant").as_deref(), Some("blue"));
    assert_eq!(text(pod.namespace_annotations.as_deref(), "other"), None, "of a namespace only what is ours");
    assert_eq!(text(pod.node_labels.as_deref(), "pool").as_deref(), Some("gpu"));
    let workloads: Vec<_> =
        pod.workloads.iter().flatten().map(|workload| (&*workload.kind, &*workload.name)).collect();
    assert_eq!(workloads, [("ReplicaSet", "web-5d"), ("Deployment", "web")]);
    assert!(watched.store.knows_pods() && watched.store.pod("other").is_none());
    until("all are up", || watched.counters.ups().iter().all(|(_, up)| *up == 1)).await;
    assert_eq!(watched.counters.kept(), [("pods", 1), ("namespaces", 1), ("deleted_pods", 0)]);
    assert!(double.heard("/").iter().all(|(_, token)| token == "first-token"));
}

#[tokio::test]
async fn changes_are_followed_and_the_dead_keep_their_owner_for_a_while() {
    let double = quiet();
    let changes = vec![
        event("BOOKMARK", r#"{"kind":"Pod","metadata":{"resourceVersion":"20"}}"#),
        event("MODIFIED", &metadata("shop", "web-0", "u-1", 21, r#","labels":{"app":"changed"}"#)),
        event("ADDED", &metadata("shop", "cron-1", "u-2", 22, "")),
        event("DELETED", &metadata("shop", "web-0", "u-1", 23, "")),
    ];
    double.0.lock().unwrap().answers.insert(PODS_WATCH, vec![Said::Lines(changes, Then::Silence)]);
    let watched = watched(&double, Duration::from_secs(5)).await;
    until("the second pod is there", || watched.store.pod("u-2").is_some()).await;
    let mut dead = None;
    until("the first is deleted, and its last events still have an owner", || {
        dead = watched.store.pod("u-1");
        dead.is_some() && watched.counters.kept()[2].1 == 1
    })
    .await;
    let dead = dead.unwrap();
    assert_eq!(text(dead.labels.as_ref(), "app").as_deref(), Some("changed"));
    assert_eq!(watched.store.pod("u-2").unwrap().workloads.as_deref(), Some(&[][..]), "nobody made it");
    until("it is forgotten", || watched.store.pod("u-1").is_none()).await;
    assert!(watched.store.pod("u-2").is_some());
}

#[tokio::test]
async fn a_deleted_namespace_is_forgotten_with_its_last_pod() {
    let double = quiet();
    {
        let mut script = double.0.lock().unwrap();
        let pod = vec![event("DELETED", &metadata("shop", "web-0", "u-1", 23, ""))];
        let namespace = vec![event("DELETED", &metadata("", "shop", "n-1", 24, ""))];
        script.answers.insert(PODS_WATCH, vec![Said::Lines(pod, Then::Silence)]);
        script.answers.insert(NAMESPACES_WATCH, vec![Said::Lines(namespace, Then::Silence)]);
    }
    let watched = watched(&double, Duration::from_secs(5)).await;
    until("the pod is deleted", || watched.counters.kept()[2].1 == 1).await;
    assert!(watched.store.namespace("shop").is_some(), "its pod's last events still have an owner");
    until("both are forgotten", || {
        watched.counters.kept() == [("pods", 0), ("namespaces", 0), ("deleted_pods", 0)]
    })
    .await;
}

#[tokio::test]
async fn an_old_version_is_listed_again_and_what_is_missing_is_deleted() {
    let double = quiet();
    let gone = event("ERROR", r#"{"kind":"Status","code":410,"message":"too old resource version"}"#);
    {
        let mut script = double.0.lock().unwrap();
        script
            .answers
            .insert(PODS_WATCH, vec![Said::Lines(vec![gone], Then::End), Said::Lines(vec![], Then::Silence)]);
        script.answers.insert(
            PODS,
            vec![
                list(10, "", &[metadata("shop", "web-0", "u-1", 9, MADE)]),
                // In pages.
                list(30, "more", &[metadata("shop", "a", "u-3", 9, "")]),
                list(30, "", &[metadata("shop", "b", "u-4", 9, "")]),
            ],
        );
    }
    let watched = watched(&double, Duration::ZERO).await;
    until("both pages", || watched.store.pod("u-3").is_some() && watched.store.pod("u-4").is_some()).await;
    until("the first is gone", || watched.store.pod("u-1").is_none()).await;
    assert_eq!(watched.counters.relists().first(), Some(&("pods", 1)));
    let pages = double.heard(PODS);
    assert!(pages.iter().any(|(line, _)| line.contains("continue=more")), "{pages:?}");
}

#[tokio::test]
async fn what_goes_wrong_is_counted_and_goes_on_from_where_it_was() {
    let double = quiet();
    let put = |uid: &str, version| event("ADDED", &metadata("shop", "p", uid, version, ""));
    {
        let mut script = double.0.lock().unwrap();
        script.answers.insert(
            PODS_WATCH,
            vec![
                Said::Json(500, r#"{"kind":"Status","message":"etcd is away"}"#.into()),
                // A line that is cut off by the end of the connection.
                Said::Lines(vec![put("w-1", 40)], Then::Torn),
                Said::Lines(vec!["no JSON".into()], Then::End),
                Said::Lines(vec![format!("\"{}\"", "x".repeat(lines::MAX_LINE))], Then::End),
                Said::Json(401, "who are you".into()),
                // Nothing comes any more.
                Said::Lines(vec![put("w-2", 41)], Then::Silence),
                Said::Lines(vec![put("w-3", 42)], Then::Silence),
            ],
        );
    }
    let watched = watched(&double, Duration::from_secs(60)).await;
    until("the last pod", || watched.store.pod("w-3").is_some()).await;
    assert!(watched.store.pod("w-1").is_some() && watched.store.pod("w-2").is_some());
    for (reason, least) in
        [("refused", 1), ("connection", 1), ("invalid", 1), ("too_long", 1), ("forbidden", 1), ("timeout", 1)]
    {
        assert!(failures(&watched, reason) >= least, "{reason}: {:?}", watched.counters.failures());
    }
    let versions: Vec<String> = (double.heard(PODS_WATCH).into_iter())
        .filter_map(|(line, _)| Some(line.split_once("resourceVersion=")?.1.split('&').next()?.to_owned()))
        .collect();
    assert_eq!(versions.get(..3), Some(&["10", "10", "40"].map(str::to_owned)[..]), "{versions:?}");
    assert!(watched.store.pod("u-1").is_some(), "what was known stays");
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_the_token_is_read_anew() {
    // A port with nobody behind it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let watched = watched_at(&format!("http://{address}"), Duration::from_secs(60));
    until("it has failed", || failures(&watched, "connect") >= 3).await;
    assert!(!watched.store.knows_pods() && watched.counters.ups().iter().all(|(_, up)| *up == 0));
    std::fs::write(watched.folder.path().join("token"), "second-token").unwrap();
    let double = quiet();
    tokio::spawn(double.clone().serve(TcpListener::bind(address).await.unwrap()));
    until("it is there", || watched.store.pod("u-1").is_some()).await;
    until("the token", || double.heard("/").iter().any(|(_, token)| token == "second-token")).await;
    std::fs::remove_file(watched.folder.path().join("token")).unwrap();
    until("a token that cannot be read is a failure", || failures(&watched, "file") >= 1).await;
}

#[tokio::test]
async fn a_maker_that_is_gone_or_hidden_is_the_last_one() {
    for answer in [
        Said::Json(403, r#"{"message":"replicasets.apps \"web-5d\" is forbidden"}"#.into()),
        Said::Json(404, r#"{"message":"not found"}"#.into()),
        // Another one of the same name.
        Said::Json(200, metadata("shop", "web-5d", "rs-other", 2, "")),
    ] {
        let double = quiet();
        double.0.lock().unwrap().answers.insert(REPLICA_SET, vec![answer]);
        let watched = watched(&double, Duration::from_secs(60)).await;
        until("it is known", || watched.store.pod("u-1").is_some_and(|pod| pod.workloads.is_some())).await;
        let pod = watched.store.pod("u-1").unwrap();
        let names: Vec<_> = pod.workloads.iter().flatten().map(|workload| &*workload.name).collect();
        assert_eq!(names, ["web-5d"]);
    }
}

#[tokio::test]
async fn it_ends_when_nobody_asks() {
    let double = quiet();
    let watched = watched(&double, Duration::from_secs(60)).await;
    until("it is there", || watched.store.pod("u-1").is_some()).await;
    let weak = Arc::downgrade(&watched.store);
    drop(watched.store);
    until("the store is gone", || weak.strong_count() == 0).await;
}

#[test]
fn the_bounds_hold() {
    let counters: Arc<KubernetesCounters> = Arc::default();
    let store = Store::new(Duration::from_secs(60), Arc::clone(&counters));
    let object = |number: usize| -> objects::Object {
        serde_json::from_str(&metadata("shop", "p", &format!("u-{number}"), 1, MADE)).unwrap()
    };
    for number in 0..store::MAX_PODS + 10 {
        store.put_pod(&object(number).metadata);
    }
    assert_eq!(counters.kept()[0].1, store::MAX_PODS as u64);
    let refused = counters.refusals();
    assert_eq!(refused.first(), Some(&("pods", 10)));
    store.put_pod(&objects::Metadata::default());
    assert_eq!(counters.refusals().last(), Some(&("invalid", 1)), "a pod without a name");
}

#[test]
fn urls_are_checked() {
    for (url, fine) in [
        ("https://10.0.0.1:6443", true),
        ("https://[fd00::1]:6443/", true),
        ("https://kubernetes.default.svc", true),
        ("http://127.0.0.1:8001", true),
        ("http://10.0.0.1:8001", false),
        ("https://user@host", false),
        ("https://host/path", false),
        ("host:6443", false),
        ("ftp://host", false),
        ("", false),
    ] {
        assert_eq!(ServerUrl::parse(url).is_ok(), fine, "{url}: {:?}", ServerUrl::parse(url));
    }
    let settings = Settings { enabled: Some(false), ..Settings::default() };
    assert!(start(&settings, "n1", Arc::default()).unwrap().is_none());
}

/// The path of a file that the tests of TLS use.
#[tokio::test]
async fn an_authority_that_is_not_there_or_another_is_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(quiet().serve(listener));
    let client = |ca_file: Option<PathBuf>| Client {
        server: ServerUrl::parse(&format!("https://{address}")).unwrap(),
        ca_file,
        token_file: None,
        timing: Timing::default(),
    };
    let error = client(Some(folder.path().join("ca.crt"))).get("/api", "*/*").await.unwrap_err();
    assert_eq!(error.reason(), "file");
    // The double speaks no TLS.
    let error = client(None).get("/api", "*/*").await.unwrap_err();
    assert_eq!(error.reason(), "tls");
}
