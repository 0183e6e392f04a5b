//! Who is at work in which pod: commands run in pods and attachments to them, as the audit log tells them, beside
//! what the kernel sees in these pods.
//!
//! The API server knows who ran a command, the kernel knows what the command did; pod and time tie them together. It
//! is a tie, not a proof: a pod goes on with its own work while somebody is in it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::AuditEvent;
use crate::{
    detection::{K8sExec, Related, iso8601},
    metrics::{AuditCounters, Tally},
};

/// Sessions kept.
const MAX_SESSIONS: usize = 512;
/// Detections in pods kept, for events that arrive after them.
const MAX_RECENT: usize = 512;
/// Of these, told of one session.
const MAX_RELATED: usize = 16;
/// Clocks of API server and node may differ by this.
const SKEW_NS: u64 = 2_000_000_000;
/// What a session left running is still its own for so long.
const AFTERMATH_NS: u64 = 60_000_000_000;
/// A session of which no end is seen: the kubelet closes one that is idle for so long.
const LONGEST_NS: u64 = 4 * 3600 * 1_000_000_000;
/// Characters kept of a text, and elements of a list, that a client chose.
const MAX_TEXT: usize = 256;
const MAX_ITEMS: usize = 32;

/// The table: filled by the audit thread, asked by the hot thread when a rule has matched.
#[derive(Debug)]
pub struct Sessions {
    state: Mutex<State>,
    counters: Arc<AuditCounters>,
}

#[derive(Debug, Default)]
struct State {
    sessions: VecDeque<Session>,
    recent: VecDeque<Recent>,
}

#[derive(Debug)]
struct Session {
    pod: Pod,
    exec: Arc<K8sExec>,
    start_ns: u64,
    end_ns: Option<u64>,
}

#[derive(Debug)]
struct Recent {
    pod: Pod,
    time_ns: u64,
    related: Related,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pod {
    namespace: Box<str>,
    name: Box<str>,
}

impl Pod {
    fn is(&self, namespace: &str, name: &str) -> bool {
        &*self.namespace == namespace && &*self.name == name
    }
}

impl Sessions {
    pub fn new(counters: Arc<AuditCounters>) -> Sessions {
        Sessions { state: Mutex::default(), counters }
    }

    /// Notes what an audit event tells of a session. For one that begins, the detections of its pod that came before
    /// it was told.
    pub fn observe(&self, event: &AuditEvent) -> Vec<Related> {
        let Some((pod, exec)) = session(event) else { return Vec::new() };
        let time_ns = event.time_ns();
        let mut guard = self.lock();
        let State { sessions, recent } = &mut *guard;
        let known = sessions.iter_mut().rev().find(|session| {
            session.end_ns.is_none()
                && session.pod == pod
                && session.exec.audit_id == exec.audit_id
                && session.exec.user == exec.user
        });
        let ended = event.text(&["stage"]) == Some("ResponseComplete");
        match known {
            Some(session) if ended => session.end_ns = Some(time_ns),
            Some(_) => return Vec::new(),
            None => {
                push(
                    sessions,
                    MAX_SESSIONS,
                    &self.counters.sessions_evicted,
                    Session {
                        pod: pod.clone(),
                        exec: Arc::new(exec),
                        start_ns: time_ns,
                        end_ns: ended.then_some(time_ns),
                    },
                );
            }
        }
        self.counters.sessions.set(sessions.len() as u64);
        let from = time_ns.saturating_sub(SKEW_NS);
        let related = recent.iter().rev().filter(|recent| recent.pod == pod && recent.time_ns >= from);
        related.take(MAX_RELATED).map(|recent| recent.related.clone()).collect()
    }

    /// The newest session in a pod at a time, with the number of those it could have been instead.
    pub fn find(&self, namespace: &str, name: &str, time_ns: u64) -> Option<(Arc<K8sExec>, usize)> {
        let state = self.lock();
        let mut open = state.sessions.iter().rev().filter(|session| {
            let end = session
                .end_ns
                .map_or(session.start_ns.saturating_add(LONGEST_NS), |end| end.saturating_add(AFTERMATH_NS));
            session.pod.is(namespace, name)
                && (session.start_ns.saturating_sub(SKEW_NS)..=end).contains(&time_ns)
        });
        let newest = open.next()?;
        Some((Arc::clone(&newest.exec), open.count()))
    }

    /// Notes a detection in a pod.
    pub fn detected(&self, namespace: &str, name: &str, time_ns: u64, related: Related) {
        let pod = Pod { namespace: namespace.into(), name: name.into() };
        let recent = Recent { pod, time_ns, related };
        let mut state = self.lock();
        push(&mut state.recent, MAX_RECENT, &Tally::default(), recent);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds an element; if there is no room the oldest goes, and is counted.
fn push<T>(queue: &mut VecDeque<T>, max: usize, evicted: &Tally, item: T) {
    if queue.len() >= max {
        queue.pop_front();
        evicted.add(1);
    }
    queue.push_back(item);
}

/// What an event tells of a session that came about.
fn session(event: &AuditEvent) -> Option<(Pod, K8sExec)> {
    let text = |path: &[&str]| event.text(path).filter(|text| !text.is_empty());
    let kind = text(&["objectRef", "subresource"]).filter(|sub| matches!(*sub, "exec" | "attach"))?;
    if text(&["objectRef", "resource"]) != Some("pods")
        || !matches!(text(&["stage"]), Some("ResponseStarted" | "ResponseComplete"))
        || !matches!(event.at(&["responseStatus", "code"])?.as_u64()?, 101 | 200..=299)
    {
        return None;
    }
    let pod = Pod {
        namespace: text(&["objectRef", "namespace"])?.into(),
        name: text(&["objectRef", "name"])?.into(),
    };
    let list = |path: &[&str]| {
        let items = event.at(path).and_then(|value| value.as_array()).into_iter().flatten();
        items.filter_map(|item| item.as_str()).take(MAX_ITEMS).map(cut).collect()
    };
    let query = text(&["requestURI"]).and_then(|uri| uri.split_once('?')).map_or("", |(_, query)| query);
    let command = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "command");
    let exec = K8sExec {
        kind: kind.into(),
        user: cut(text(&["user", "username"]).unwrap_or_default()),
        acting_as: text(&["impersonatedUser", "username"]).map(cut),
        groups: list(&["user", "groups"]),
        source_ips: list(&["sourceIPs"]),
        command: command.take(MAX_ITEMS).map(|(_, value)| cut(&value)).collect(),
        audit_id: cut(text(&["auditID"]).unwrap_or_default()),
        time: iso8601(event.time_ns()),
    };
    Some((pod, exec))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    /// 2026-11-23T03:00:00Z
    const START: u64 = 1_795_402_800 * SECOND;

    fn sessions() -> (Sessions, Arc<AuditCounters>) {
        let counters: Arc<AuditCounters> = Arc::default();
        (Sessions::new(Arc::clone(&counters)), counters)
    }

    /// An event some seconds after the start.
    fn event(seconds: u64, patch: &str) -> AuditEvent {
        let time = iso8601(START + seconds * SECOND);
        let mut json = json!({
            "auditID": "a", "stage": "ResponseStarted", "stageTimestamp": time,
            "requestURI": "/api/v1/namespaces/shop/pods/web-0/exec?command=sh&command=-c&command=ls+%2F&container=main",
            "verb": "get", "user": {"username": "eve", "groups": ["dev"]}, "sourceIPs": ["10.0.0.7"],
            "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "web-0"},
            "responseStatus": {"code": 101},
        });
        crate::audit::merge(&mut json, &serde_json::from_str(patch).unwrap());
        AuditEvent::new(json, 0)
    }

    fn found(sessions: &Sessions, pod: &str, seconds: u64) -> Option<(String, usize)> {
        let (exec, others) = sessions.find("shop", pod, START + seconds * SECOND)?;
        Some((exec.user.clone(), others))
    }

    #[test]
    fn a_session_is_found_in_its_pod_and_time() {
        let (sessions, _) = sessions();
        sessions.observe(&event(100, "{}"));
        let eve = Some(("eve".to_owned(), 0));
        for (pod, seconds, expected) in [
            ("web-0", 97, None),
            ("web-0", 98, eve.clone()),
            ("web-0", 100, eve.clone()),
            ("web-0", 100 + 4 * 3600, eve.clone()),
            ("web-0", 101 + 4 * 3600, None),
            ("web-1", 100, None),
        ] {
            assert_eq!(found(&sessions, pod, seconds), expected, "{pod} {seconds}");
        }
        assert_eq!(sessions.find("other", "web-0", START + 100 * SECOND), None);
        let (exec, _) = sessions.find("shop", "web-0", START + 100 * SECOND).unwrap();
        assert_eq!(
            serde_json::to_string(&*exec).unwrap(),
            r#"{"kind":"exec","user":"eve","groups":["dev"],"source_ips":["10.0.0.7"],"command":["sh","-c","ls /"],"audit_id":"a","time":"2026-11-23T03:01:40.000000000Z"}"#
        );
    }

    #[test]
    fn a_session_ends() {
        let (sessions, counters) = sessions();
        sessions.observe(&event(100, "{}"));
        sessions.observe(&event(100, "{}"));
        sessions.observe(&event(200, r#"{"stage":"ResponseComplete"}"#));
        assert_eq!(counters.sessions.get(), 1);
        assert_eq!(found(&sessions, "web-0", 260), Some(("eve".into(), 0)));
        assert_eq!(found(&sessions, "web-0", 261), None);
        // The same audit id again, which a client may choose: a session of its own.
        sessions.observe(&event(300, "{}"));
        assert_eq!(found(&sessions, "web-0", 400), Some(("eve".into(), 0)));
        // Of one whose beginning was not told.
        sessions
            .observe(&event(500, r#"{"stage":"ResponseComplete","auditID":"b","user":{"username":"bob"}}"#));
        assert_eq!(found(&sessions, "web-0", 510), Some(("bob".into(), 1)));
    }

    #[test]
    fn only_sessions_that_came_about_count() {
        for patch in [
            r#"{"responseStatus":{"code":403}}"#,
            r#"{"responseStatus":null}"#,
            r#"{"stage":"RequestReceived"}"#,
            r#"{"objectRef":{"subresource":"log"}}"#,
            r#"{"objectRef":{"subresource":null}}"#,
            r#"{"objectRef":{"resource":"services"}}"#,
            r#"{"objectRef":{"namespace":null}}"#,
        ] {
            let (sessions, counters) = sessions();
            sessions.observe(&event(0, patch));
            assert_eq!(counters.sessions.get(), 0, "{patch}");
        }
        let (sessions, _) = sessions();
        sessions
            .observe(&event(0, r#"{"objectRef":{"subresource":"attach"},"requestURI":null,"user":null}"#));
        assert_eq!(found(&sessions, "web-0", 0), Some((String::new(), 0)));
    }

    #[test]
    fn the_table_is_bounded_in_every_way() {
        let (sessions, counters) = sessions();
        let long = "x".repeat(10_000);
        for i in 0..MAX_SESSIONS + 3 {
            sessions.observe(&event(0, &format!(r#"{{"auditID":"{i}","user":{{"username":"{long}"}}}}"#)));
        }
        assert_eq!((counters.sessions.get(), counters.sessions_evicted.get()), (MAX_SESSIONS as u64, 3));
        let (user, others) = found(&sessions, "web-0", 0).unwrap();
        assert_eq!((user.len(), others), (MAX_TEXT, MAX_SESSIONS - 1));
    }

    #[test]
    fn what_was_detected_before_the_session_was_told_is_told_with_it() {
        let (sessions, _) = sessions();
        let related = |name: &str| Related { uuid: uuid::Uuid::nil(), rule: name.into() };
        for (pod, seconds, name) in [("web-0", 90, "old"), ("web-1", 100, "elsewhere"), ("web-0", 99, "new")]
        {
            sessions.detected("shop", pod, START + seconds * SECOND, related(name));
        }
        assert_eq!(sessions.observe(&event(100, "{}")), [related("new")]);
        assert_eq!(sessions.observe(&event(100, "{}")), [], "it is told once");
        for i in 0..MAX_RECENT + 3 {
            sessions.detected("shop", "web-0", START + 200 * SECOND, related(&i.to_string()));
        }
        let told = sessions.observe(&event(200, r#"{"auditID":"b"}"#));
        assert_eq!((told.len(), &*told[0].rule), (MAX_RELATED, "514"));
    }
}
