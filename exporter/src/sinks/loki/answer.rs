//! What Loki answers.
//!
//! It stores the good entries of a batch and refuses the rest with 400, so that a 400 says nothing of most entries. Its
//! text names some of those that it refused. That is a hint where to look: what is set aside is only what it refused
//! when it came alone.

use jiff::Timestamp;

use crate::{
    delivery::{Entry, Reason, Refusal},
    sinks::http::Answer,
};

/// How much of a text is searched, and how much of it is told.
const MAX_SEARCHED: usize = 8 << 10;
const MAX_TOLD: usize = 1 << 10;
/// Loki's own status for a tenant whose ingestion is blocked for a while: nothing was stored.
const BLOCKED: u16 = 260;
/// How refusals begin that are about the tenant and not about what it sends: all of it would be set aside.
const ABOUT_TENANTS: [&str; 4] = ["no org id", "multiple org IDs present", "invalid tenant ID", "tenant ID "];
/// Parts of refusals that are about how Loki is set up: the same.
const ABOUT_SETUP: [&str; 2] = ["limits_config.allow_structured_metadata", "missing required labels"];

/// Whether what was sent is Loki's now.
pub(super) fn judge(answer: &Answer) -> Result<(), Refusal> {
    let told = || format!("the answer is {}: {}", answer.status, text(answer, MAX_TOLD).escape_debug());
    if answer.status.as_u16() == BLOCKED {
        return Err(Refusal::Later { reason: Reason::Answer, what: told(), after: answer.retry_after() });
    }
    match answer.judge() {
        Err(Refusal::Poison { .. }) if is_about_all(&text(answer, MAX_SEARCHED)) => {
            Err(Refusal::Later { reason: Reason::Denied, what: told(), after: None })
        }
        // A stream's labels come before what is wrong with it.
        Err(Refusal::Poison { .. }) => Err(Refusal::Poison { what: told() }),
        other => other,
    }
}

/// Which of several entries a refusal is about, if it is about one that can be told from the others.
pub(super) fn named(answer: &Answer, entries: &[Entry]) -> Option<usize> {
    let text = text(answer, MAX_SEARCHED);
    let about_length = text.contains("' while adding an entry with length '");
    let about_time = text.contains("has timestamp too ");
    let about_order = text.contains("entry with timestamp ");
    let is_named = |entry: &Entry| {
        let time = Timestamp::from_nanosecond(entry.time_ns.into()).unwrap_or_default();
        let seconds = |format| time.strftime(format).to_string();
        about_length && text.contains(&format!(" with length '{}' bytes", entry.line.len()))
            || about_time && {
                let time = seconds("%Y-%m-%dT%H:%M:%SZ");
                text.contains(&format!("too old: {time}")) || text.contains(&format!("too new: {time}"))
            }
            || about_order && {
                let time = format!("{}{}", seconds("%Y-%m-%d %H:%M:%S"), fraction(time.subsec_nanosecond()));
                text.contains(&format!("entry with timestamp {time} +0000 UTC ignored"))
            }
    };
    let mut named = entries.iter().enumerate().filter(|(_, entry)| is_named(entry));
    match (named.next(), named.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

/// As Go prints it: without zeros in the end.
fn fraction(nanoseconds: i32) -> String {
    if nanoseconds == 0 {
        return String::new();
    }
    format!(".{nanoseconds:09}").trim_end_matches('0').to_owned()
}

fn text(answer: &Answer, most: usize) -> String {
    let bytes = answer.body.get(..most).unwrap_or(&answer.body);
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

fn is_about_all(text: &str) -> bool {
    ABOUT_TENANTS.iter().any(|about| text.starts_with(about))
        || ABOUT_SETUP.iter().any(|about| text.contains(about))
}

#[cfg(test)]
mod tests {
    use reqwest::{StatusCode, header::HeaderMap};

    use super::{super::tests::entry, *};

    fn answer(status: u16, text: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: HeaderMap::new(), body: text.as_bytes().to_vec() }
    }

    #[test]
    fn an_answer_says_what_to_do() {
        let long = format!("entry for stream '{{rule=\"{}\"}}' has timestamp too old", "x".repeat(300));
        for (status, text, expected) in [
            (204, "", None),
            (200, "", None),
            (260, "ingestion blocked for user shop", Some((Some(Reason::Answer), "ingestion blocked"))),
            (400, &long, Some((None, "has timestamp too old"))),
            (400, "multiple org IDs present", Some((Some(Reason::Denied), "multiple org"))),
            (400, "tenant ID 'a|b' contains unsupported character '|'", Some((Some(Reason::Denied), "a|b"))),
            (400, "error parsing labels '{rule=\"no org id\"}'", Some((None, "parsing labels"))),
            (
                400,
                "stream '{}' includes structured metadata, but this feature is disallowed. Please see \
                 `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it.",
                Some((Some(Reason::Denied), "disallowed")),
            ),
            (401, "no org id", Some((Some(Reason::Denied), "no org id"))),
            (413, "", Some((None, "413"))),
            (429, "Ingestion rate limit exceeded", Some((Some(Reason::Throttled), "rate limit"))),
            (500, "at least 2 live replicas required", Some((Some(Reason::Answer), "replicas"))),
        ] {
            let result = judge(&answer(status, text)).err().map(|refusal| {
                let what = refusal.to_string();
                match refusal {
                    Refusal::Later { reason, .. } => (Some(reason), what),
                    Refusal::Poison { .. } | Refusal::Part { .. } => (None, what),
                }
            });
            match (&result, expected) {
                (None, None) => {}
                (Some((reason, what)), Some((expected, part))) => {
                    assert!(*reason == expected && what.contains(part), "{status} {text}: {result:?}");
                }
                _ => panic!("{status} {text}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_refusal_names_an_entry_or_none() {
        const SECOND: i64 = 1_000_000_000;
        // 2017-10-09T23:31:56.746609046Z, the next second, and one that is whole.
        let times = [1_507_591_916_746_609_046, 1_507_591_917_500_000_000, 1_507_591_920 * SECOND];
        let mut entries: Vec<Entry> =
            times.iter().zip(1..).map(|(time, seq)| entry(seq, *time, "{}")).collect();
        entries[1].line = "x".repeat(300_000);
        for (text, expected) in [
            (
                "entry with timestamp 2017-10-09 23:31:56.746609046 +0000 UTC ignored, reason: 'entry too far behind'",
                Some(0),
            ),
            (
                "entry with timestamp 2017-10-09 23:31:57.5 +0000 UTC ignored, reason: 'entry too far behind'",
                Some(1),
            ),
            (
                "entry with timestamp 2017-10-09 23:32:00 +0000 UTC ignored, reason: 'entry too far behind'",
                Some(2),
            ),
            (
                "entry with timestamp 2017-10-09 23:32:01 +0000 UTC ignored, reason: 'entry too far behind'",
                None,
            ),
            (
                "entry for stream '{}' has timestamp too old: 2017-10-09T23:31:57Z, oldest acceptable timestamp is: 2017-10-10T00:00:00Z",
                Some(1),
            ),
            ("entry for stream '{}' has timestamp too new: 2017-10-09T23:32:00Z", Some(2)),
            (
                "Max entry size '262144' bytes exceeded for stream '{}' while adding an entry with length '300000' bytes",
                Some(1),
            ),
            // There are two of that length.
            (
                "Max entry size '1' bytes exceeded for stream '{}' while adding an entry with length '2' bytes",
                None,
            ),
            ("error parsing labels", None),
            ("", None),
        ] {
            assert_eq!(named(&answer(400, text), &entries), expected, "{text}");
        }
    }
}
