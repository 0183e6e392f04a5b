//! A request's body to events that are known to be events, but not read yet.
//!
//! Only what identifies an event is read here. The rest stays text, which is as small as it came: a queue of texts
//! has a bound in bytes.

use std::{borrow::Cow, hash::Hash};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Stage;

const VERSION: &str = "audit.k8s.io/v1";

/// An event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub stage: Stage,
    /// Its JSON.
    pub text: Box<str>,
    /// Equal for repetitions of an event, and for them only.
    ///
    /// The audit id is not enough: a client may choose it (header `Audit-ID`), and could hide a request behind an
    /// earlier one. It cannot choose when, to the microsecond, the API server reached a stage.
    pub identity: Identity,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    audit_id: Box<str>,
    stage: Box<str>,
    received: Box<str>,
    reached: Box<str>,
    verb: Box<str>,
    uri: Box<str>,
    user: Box<str>,
}

/// Why a body is refused, with the place.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("not an EventList or Event of {VERSION}: {0}")]
    Body(#[source] serde_json::Error),
    #[error("not an EventList or Event of {VERSION}: it is {kind} of {version}")]
    Kind { kind: String, version: String },
    #[error("an EventList without items")]
    NoItems,
    #[error("/items/{index}: {source}")]
    Event { index: usize, source: serde_json::Error },
    #[error("{count} events; a request may have {max}")]
    TooMany { count: usize, max: usize },
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "apiVersion")]
    version: String,
    #[serde(default, borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// What identifies an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(rename = "auditID", borrow)]
    audit_id: Cow<'a, str>,
    #[serde(borrow)]
    stage: Cow<'a, str>,
    #[serde(default, borrow)]
    verb: Option<Cow<'a, str>>,
    #[serde(default, rename = "requestURI", borrow)]
    uri: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    request_received_timestamp: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    stage_timestamp: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    user: Option<User<'a>>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(default, borrow)]
    username: Option<Cow<'a, str>>,
}

/// Reads a body: all of its events, or why none.
pub fn parse(body: &[u8], max: usize) -> Result<Vec<Incoming>, ParseError> {
    // A patch may hold bytes that are not UTF-8, and the API server copies it as it came.
    let text = String::from_utf8_lossy(body);
    let list: Body<'_> = serde_json::from_str(&text).map_err(ParseError::Body)?;
    if list.version != VERSION {
        return Err(ParseError::Kind { kind: named(list.kind), version: named(list.version) });
    }
    match (&*list.kind, list.items) {
        ("EventList", Some(items)) if items.len() > max => {
            Err(ParseError::TooMany { count: items.len(), max })
        }
        ("EventList", Some(items)) => {
            items.iter().enumerate().map(|(index, item)| incoming(index, item.get())).collect()
        }
        ("EventList", None) => Err(ParseError::NoItems),
        ("Event", _) => Ok(vec![incoming(0, text.trim())?]),
        (_, _) => Err(ParseError::Kind { kind: named(list.kind), version: list.version }),
    }
}

fn named(text: String) -> String {
    if text.is_empty() {
        "nothing".into()
    } else {
        format!("'{}'", text.chars().take(64).collect::<String>())
    }
}

fn incoming(index: usize, text: &str) -> Result<Incoming, ParseError> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|source| ParseError::Event { index, source })?;
    let Head { audit_id, stage, verb, uri, request_received_timestamp, stage_timestamp, user } = head;
    let boxed = |text: Option<Cow<'_, str>>| text.unwrap_or_default().into();
    Ok(Incoming {
        stage: Stage::of(&stage),
        text: text.into(),
        identity: Identity {
            audit_id: audit_id.into(),
            stage: stage.into(),
            received: boxed(request_received_timestamp),
            reached: boxed(stage_timestamp),
            verb: boxed(verb),
            uri: boxed(uri),
            user: boxed(user.and_then(|user| user.username)),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &str) -> String {
        format!(r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{{}},"items":[{items}]}}"#)
    }

    #[test]
    fn lists_and_single_events_are_taken() {
        let one = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"Panic"}"#;
        for (body, expected) in [
            (list(""), vec![]),
            (
                list(r#"{"auditID":"a","stage":"ResponseComplete"}, {"auditID":"b","stage":"new"}"#),
                vec![Stage::ResponseComplete, Stage::Other],
            ),
            (format!(" {one}\n"), vec![Stage::Panic]),
            // What a user of the cluster wrote cannot make the request unreadable.
            (
                list(r#"{"auditID":"a","stage":"Panic","requestObject":{"a":"\ud800","b":1e999}}"#),
                vec![Stage::Panic],
            ),
            (
                list(&format!(
                    r#"{{"auditID":"a","stage":"Panic","requestObject":{}{}}}"#,
                    "[".repeat(50_000),
                    "]".repeat(50_000)
                )),
                vec![Stage::Panic],
            ),
        ] {
            let events = parse(body.as_bytes(), 10).unwrap();
            assert_eq!(events.iter().map(|event| event.stage).collect::<Vec<_>>(), expected, "{body:.200}");
        }
        let broken = list(r#"{"auditID":"a","stage":"Panic","requestObject":"?"}"#).replace('?', "\u{1}");
        let mut broken = broken.into_bytes();
        broken.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 0xff);
        assert_eq!(parse(&broken, 10).unwrap().len(), 1, "not UTF-8");
    }

    #[test]
    fn what_is_refused_is_told_with_its_place() {
        for (body, expected) in [
            (String::new(), "EOF while parsing a value at line 1 column 0"),
            ("{\n  \"kind\": nope}".into(), "at line 2 column 12"),
            ("[]".into(), "it is nothing of nothing"),
            (r#"{"kind":"PodList","apiVersion":"v1","items":[]}"#.into(), "it is 'PodList' of 'v1'"),
            (
                r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1"}"#.into(),
                "of 'audit.k8s.io/v1beta1'",
            ),
            ("{}".into(), "it is nothing of nothing"),
            (r#"{"kind":"Pod","apiVersion":"audit.k8s.io/v1"}"#.into(), "it is 'Pod' of"),
            (r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}"#.into(), "without items"),
            (
                list(r#"{"auditID":"a","stage":"Panic"},{"stage":"Panic"}"#),
                "/items/1: missing field `auditID`",
            ),
            (list(r#"{"auditID":"a","stage":7}"#), "/items/0: invalid type"),
            (list(r#"3"#), "/items/0: invalid type"),
            (list(&[r#"{"auditID":"a","stage":"Panic"}"#; 11].join(",")), "11 events; a request may have 10"),
        ] {
            let error = parse(body.as_bytes(), 10).unwrap_err().to_string();
            assert!(error.contains(expected), "{body:.200}: {error}");
        }
    }

    #[test]
    fn only_a_repetition_has_the_same_identity() {
        let event = |change: (&str, &str)| {
            let text = r#"{"auditID":"a","stage":"Panic","verb":"get","requestURI":"/x","user":{"username":"u"},
                "requestReceivedTimestamp":"2026-11-23T03:17:30.027845Z","stageTimestamp":"2026-11-23T03:17:30.039415Z"}"#;
            parse(list(&text.replace(change.0, change.1)).as_bytes(), 10).unwrap().remove(0).identity
        };
        assert_eq!(event(("", "")), event(("", "")));
        for change in [
            (r#""a""#, r#""b""#),
            ("Panic", "ResponseComplete"),
            ("get", "delete"),
            ("/x", "/y"),
            (r#""u""#, r#""v""#),
            ("027845", "027846"),
            ("039415", "039416"),
        ] {
            assert_ne!(event(("", "")), event(change), "{change:?}");
        }
    }
}
