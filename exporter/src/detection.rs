//! A detection: what a rule said about an event, in the form every sink gets.
//!
//! The JSON is Falco's (`time, rule, priority, source, output, output_fields, tags, hostname, uuid`) plus
//! `tenant`, `cluster`, `node`, `incomplete_fields`, `threats` and, if there is one, `correlation`, so that existing consumers keep working.
//! What it says comes from the workload: every control character is escaped, one detection is one line.

use std::{fmt::Write as _, sync::Arc};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{config::OutputConfig, rules::Priority};

/// The tenant that owns the host and everything no other tenant owns.
pub const PLATFORM_TENANT: &str = "platform";

/// One rule's match on one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Time of the event, nanoseconds since the epoch.
    pub time_ns: u64,
    pub rule: Arc<str>,
    pub priority: Priority,
    /// Falco's name of the source.
    pub source: &'static str,
    pub tags: Arc<[String]>,
    /// The rule's output with its fields filled in, without time and priority.
    pub message: String,
    /// The values of the output's fields, in the order of the output.
    pub output_fields: Vec<(String, Value)>,
    /// Fields of the output that the event did not have.
    pub incomplete_fields: Vec<String>,
    pub uuid: Uuid,
    pub tenant: Arc<str>,
    /// The Kubernetes namespace that it is about.
    pub namespace: Option<Arc<str>>,
    /// Of the process that made the event, the parent first.
    pub ancestors: Vec<Ancestor>,
    pub correlation: Option<Box<Correlation>>,
}

/// A process above another. What is not known of it is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ancestor {
    pub pid: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exepath: Option<Box<str>>,
}

/// What the other source knows of the same pod at the same time. It is a tie, not a proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Correlation {
    /// Of a detection of the kernel's events: the session that somebody had in the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k8s_exec: Option<Arc<K8sExec>>,
    /// How many other sessions it could have been instead.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_sessions: usize,
    /// Of a session that begins: detections in its pod that were made before the API server told of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<Related>,
}

/// A command run in a pod, or an attachment to one, as the API server's audit log tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct K8sExec {
    /// `exec` or `attach`.
    pub kind: String,
    pub user: String,
    /// The user whom they acted as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acting_as: Option<String>,
    pub groups: Vec<String>,
    pub source_ips: Vec<String>,
    pub command: Vec<String>,
    pub audit_id: String,
    /// When it began, as ISO 8601.
    pub time: String,
}

/// Another detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    pub uuid: Uuid,
    pub rule: Arc<str>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The name under which a tenant hears what its quota held back.
pub const QUOTA_RULE: &str = "Detections held back by the tenant's quota";

/// The name under which a receiver is tried.
pub const TEST_RULE: &str = "Test of a sink";

impl Detection {
    /// Tells a tenant how many of its detections its quota held back. The source is Falco's for what a detector says of
    /// itself.
    pub fn of_quota(tenant: &Arc<str>, suppressed: u64, time_ns: u64) -> Detection {
        Detection {
            time_ns,
            rule: QUOTA_RULE.into(),
            priority: Priority::Warning,
            source: "internal",
            tags: Arc::new([]),
            message: format!("{QUOTA_RULE} | tenant={tenant} suppressed={suppressed}"),
            output_fields: vec![
                ("tenant".into(), Value::from(&**tenant)),
                ("suppressed".into(), Value::from(suppressed)),
            ],
            incomplete_fields: Vec::new(),
            uuid: Uuid::new_v4(),
            tenant: Arc::clone(tenant),
            namespace: None,
            ancestors: Vec::new(),
            correlation: None,
        }
    }

    /// What a receiver gets to try it.
    pub fn of_test(time_ns: u64) -> Detection {
        Detection {
            time_ns,
            rule: TEST_RULE.into(),
            priority: Priority::Debug,
            source: "internal",
            tags: Arc::new([]),
            message: format!("{TEST_RULE}; nothing has happened"),
            output_fields: Vec::new(),
            incomplete_fields: Vec::new(),
            uuid: Uuid::new_v4(),
            tenant: PLATFORM_TENANT.into(),
            namespace: None,
            ancestors: Vec::new(),
            correlation: None,
        }
    }

    /// An upper estimate of the memory it holds, for queues bounded in bytes.
    pub fn weight(&self) -> usize {
        fn of(value: &Value) -> usize {
            size_of::<Value>()
                + match value {
                    Value::String(text) => text.len(),
                    Value::Array(items) => items.iter().map(of).sum(),
                    _ => 0,
                }
        }
        let fields: usize = self.output_fields.iter().map(|(name, value)| name.len() + 24 + of(value)).sum();
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let ancestors = self.ancestors.iter();
        let ancestors: usize =
            ancestors.map(|one| size_of::<Ancestor>() + text(&one.name) + text(&one.exepath)).sum();
        let related = self.correlation.as_ref().map_or(0, |correlation| correlation.detections.len());
        size_of::<Detection>() + self.message.len() + fields + ancestors + related * size_of::<Related>()
    }
}

/// Where this daemon runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub hostname: String,
    pub node: String,
    pub cluster: String,
}

/// Writes detections as lines, as the configuration says.
#[derive(Clone, Debug)]
pub struct Formatter {
    identity: Identity,
    output: OutputConfig,
    timezone: TimeZone,
}

/// The JSON object, in the order in which it is printed.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    rule: &'a str,
    priority: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_fields: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [String]>,
    hostname: &'a str,
    uuid: Uuid,
    tenant: &'a str,
    cluster: &'a str,
    node: &'a str,
    incomplete_fields: &'a [String],
    threats: [&'static str; 0],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ancestors: &'a [Ancestor],
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a Correlation>,
}

/// `output_fields`; Falco puts the event's time first, because its output begins with it.
struct Fields<'a> {
    time: (&'static str, Value),
    fields: &'a [(String, Value)],
}

impl Serialize for Fields<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (time, value) = &self.time;
        let own = self.fields.iter().filter(|(name, _)| name != time).map(|(name, value)| (&**name, value));
        serializer.collect_map(std::iter::once((*time, value)).chain(own))
    }
}

impl Formatter {
    pub fn new(identity: Identity, output: OutputConfig) -> Formatter {
        Formatter { identity, output, timezone: TimeZone::system() }
    }

    /// Appends the detection as one line, newline included.
    pub fn line(&self, detection: &Detection, out: &mut Vec<u8>) {
        match self.output.format {
            crate::config::Format::Json => self.json(detection, out),
            crate::config::Format::Text => self.text(detection, out),
        }
        out.push(b'\n');
    }

    /// Appends the detection as JSON, without the end of a line.
    pub fn json(&self, detection: &Detection, out: &mut Vec<u8>) {
        let Identity { hostname, node, cluster } = &self.identity;
        let iso = iso8601(detection.time_ns);
        let time = if self.output.time_iso8601 {
            ("evt.time.iso8601", Value::from(detection.time_ns))
        } else {
            ("evt.time", Value::from(detection.time_ns))
        };
        let line = Line {
            rule: &detection.rule,
            priority: detection.priority.name(),
            source: detection.source,
            output: self.output.include_output.then(|| self.prefixed(detection)),
            message: self.output.include_message.then_some(&*detection.message),
            output_fields: self
                .output
                .include_output_fields
                .then_some(Fields { time, fields: &detection.output_fields }),
            tags: self.output.include_tags.then_some(&*detection.tags),
            hostname,
            uuid: detection.uuid,
            tenant: &detection.tenant,
            cluster,
            node,
            incomplete_fields: &detection.incomplete_fields,
            threats: [],
            ancestors: &detection.ancestors,
            correlation: detection.correlation.as_deref(),
            time: iso,
        };
        match serde_json::to_string(&line) {
            Ok(json) => escape_into(&json, out, |out, c| {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }),
            // Strings and numbers with string keys always serialise; if that ever changes, say so in the line.
            Err(error) => out.extend_from_slice(format!("{{\"error\":\"{}\"}}", error.line()).as_bytes()),
        }
    }

    fn text(&self, detection: &Detection, out: &mut Vec<u8>) {
        escape_text(&self.prefixed(detection), out);
    }

    /// `HH:MM:SS.nanoseconds: Priority message`, as Falco prints it.
    fn prefixed(&self, detection: &Detection) -> String {
        let time = if self.output.time_iso8601 {
            iso8601(detection.time_ns)
        } else {
            timestamp(detection.time_ns).to_zoned(self.timezone.clone()).strftime("%H:%M:%S.%9f").to_string()
        };
        format!("{time}: {} {}", detection.priority.name(), detection.message)
    }
}

fn timestamp(ns: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// UTC with nine digits of a second, as in Falco's `time`.
pub fn iso8601(ns: u64) -> String {
    timestamp(ns).strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// Characters that could break a line or deceive whoever reads it on a terminal: control characters
/// (C0, DEL, C1), line separators and bidirectional overrides.
fn is_hostile(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Appends text that comes from a workload with nothing in it that could break a line or deceive a reader.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape_into(text, out, |out, c| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_ascii() => drop(write!(out, "\\x{:02x}", u32::from(c))),
        c => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
    });
}

fn escape_into(text: &str, out: &mut Vec<u8>, escape: impl Fn(&mut String, char)) {
    if !text.chars().any(is_hostile) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) {
            escape(&mut escaped, c);
        } else {
            escaped.push(c);
        }
    }
    out.extend_from_slice(escaped.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Format};

    fn detection(message: &str) -> Detection {
        Detection {
            time_ns: 1_507_591_916_746_609_046,
            rule: "Read sensitive file".into(),
            priority: Priority::Warning,
            source: "syscall",
            tags: vec!["filesystem".to_owned(), "T1555".to_owned()].into(),
            message: message.into(),
            output_fields: vec![
                ("user.name".into(), "root".into()),
                ("evt.time".into(), 1u64.into()),
                ("fd.name".into(), Value::Null),
            ],
            incomplete_fields: vec!["fd.name".into()],
            uuid: Uuid::nil(),
            tenant: PLATFORM_TENANT.into(),
            namespace: None,
            ancestors: Vec::new(),
            correlation: None,
        }
    }

    fn line(change: impl FnOnce(&mut OutputConfig), message: &str) -> String {
        let mut output = Config::default().output;
        change(&mut output);
        let identity = Identity { hostname: "h".into(), node: "n".into(), cluster: "c".into() };
        let formatter = Formatter { identity, output, timezone: TimeZone::UTC };
        let mut out = Vec::new();
        formatter.line(&detection(message), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_falcos_and_more() {
        assert_eq!(
            line(|_| {}, "Read (user=root file=<NA>)"),
            concat!(
                r#"{"time":"2017-10-09T23:31:56.746609046Z","rule":"Read sensitive file","priority":"Warning","#,
                r#""source":"syscall","output":"23:31:56.746609046: Warning Read (user=root file=<NA>)","#,
                r#""output_fields":{"evt.time":1507591916746609046,"user.name":"root","fd.name":null},"#,
                r#""tags":["filesystem","T1555"],"hostname":"h","#,
                r#""uuid":"00000000-0000-0000-0000-000000000000","tenant":"platform","cluster":"c","#,
                r#""node":"n","incomplete_fields":["fd.name"],"threats":[]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_another_source_knows_is_told() {
        let exec = K8sExec {
            kind: "exec".into(),
            user: "eve".into(),
            acting_as: None,
            groups: vec!["dev".into()],
            source_ips: vec!["10.0.0.7".into()],
            command: vec!["sh".into()],
            audit_id: "a".into(),
            time: "2026-11-23T03:00:00.000000000Z".into(),
        };
        let related = Related { uuid: Uuid::nil(), rule: "Shell".into() };
        for (correlation, expected) in [
            (
                Correlation { k8s_exec: Some(Arc::new(exec)), ..Correlation::default() },
                concat!(
                    r#","threats":[],"correlation":{"k8s_exec":{"kind":"exec","user":"eve","groups":["dev"],"#,
                    r#""source_ips":["10.0.0.7"],"command":["sh"],"audit_id":"a","#,
                    r#""time":"2026-11-23T03:00:00.000000000Z"}}}"#
                ),
            ),
            (
                Correlation { other_sessions: 2, detections: vec![related], ..Correlation::default() },
                concat!(
                    r#","correlation":{"other_sessions":2,"detections":[{"uuid":"#,
                    r#""00000000-0000-0000-0000-000000000000","rule":"Shell"}]}}"#
                ),
            ),
        ] {
            let mut detection = detection("x");
            detection.correlation = Some(Box::new(correlation));
            let identity = Identity { hostname: "h".into(), node: "n".into(), cluster: "c".into() };
            let formatter = Formatter { identity, output: Config::default().output, timezone: TimeZone::UTC };
            let mut out = Vec::new();
            formatter.line(&detection, &mut out);
            let line = String::from_utf8(out).unwrap();
            assert!(line.trim_end().ends_with(expected), "{line}");
        }
    }

    #[test]
    fn properties_can_be_left_out() {
        let text = line(
            |o| {
                o.include_output = false;
                o.include_message = true;
                o.include_output_fields = false;
                o.include_tags = false;
            },
            "m",
        );
        let Value::Object(object) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert_eq!(object["message"], "m");
        for absent in ["output", "output_fields", "tags"] {
            assert!(!object.contains_key(absent), "{absent}");
        }
    }

    #[test]
    fn text_is_falcos() {
        for (iso, expected) in [
            (false, "23:31:56.746609046: Warning Read\n"),
            (true, "2017-10-09T23:31:56.746609046Z: Warning Read\n"),
        ] {
            let change = |o: &mut OutputConfig| (o.format, o.time_iso8601) = (Format::Text, iso);
            assert_eq!(line(change, "Read"), expected);
        }
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        let hostile = "a\nb\r\t\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{2028}é\\\"\0";
        let text = line(|o| o.format = Format::Text, hostile);
        assert_eq!(
            text,
            "23:31:56.746609046: Warning a\\nb\\r\\t\\x1b[2J\\x7f\\u{9b}\\u{202e}\\u{2028}é\\\"\\x00\n"
        );
        let json = line(|_| {}, hostile);
        assert_eq!(json.matches('\n').count(), 1);
        assert!(!json.trim_end().chars().any(is_hostile), "{json}");
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["output"], format!("23:31:56.746609046: Warning {hostile}"));
    }
}
