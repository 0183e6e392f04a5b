//! What an answer means for the samples of a request.

use super::Version;
use crate::{
    delivery::{Reason, Refusal},
    sinks::http::Answer,
};

/// In 2.0 a receiver says how many samples it has written.
const WRITTEN: &str = "x-prometheus-remote-write-samples-written";

/// A request that is done with: each of its samples is one or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub sent: u64,
    pub rejected: u64,
    /// Why some were rejected.
    pub what: Option<String>,
}

/// A receiver that does not know 2.0 takes it for an empty 1.0 message and answers 2xx: without the header nothing was
/// written. Prometheus answers 400 to samples that are out of order, too old, or there with another value; none of that
/// changes.
pub(super) fn judge(version: Version, samples: u64, answer: &Answer) -> Result<Done, Refusal> {
    let written = match version {
        Version::One => None,
        Version::Two => {
            answer.headers.get(WRITTEN).and_then(|value| value.to_str().ok()?.trim().parse().ok())
        }
    };
    match (answer.judge(), version) {
        (Ok(()), Version::Two) => match written {
            Some(written) => Ok(done(samples, written, "fewer samples were written than sent".into())),
            None => Err(Refusal::Later {
                reason: Reason::Answer,
                what: format!(
                    "the answer is {} without X-Prometheus-Remote-Write-Samples-Written: nothing was written, \
                     the receiver does not know remote-write 2.0",
                    answer.status
                ),
                after: answer.retry_after(),
            }),
        },
        (Ok(()), Version::One) => Ok(Done { sent: samples, rejected: 0, what: None }),
        (Err(Refusal::Poison { what }), _) => Ok(done(samples, written.unwrap_or(0), what)),
        (Err(later), _) => Err(later),
    }
}

fn done(samples: u64, written: u64, what: String) -> Done {
    let sent = written.min(samples);
    let rejected = samples - sent;
    Done { sent, rejected, what: (rejected > 0).then_some(what) }
}
