//! What a receiver answered.

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};

use crate::delivery::{Reason, Refusal};

/// How much of an answer is read, so that its connection can be used again.
const MAX_ANSWER: usize = 64 << 10;
/// How much of it is shown.
const MAX_SHOWN: usize = 200;

/// An answer, read up to a bound.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// As it came; of more than 64 KiB the beginning.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whoever breaks off in the middle of its answer has said what it said with its status.
    pub(super) async fn read(mut response: Response) -> Answer {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER
            && let Ok(Some(chunk)) = response.chunk().await
        {
            let room = (MAX_ANSWER - body.len()).min(chunk.len());
            body.extend_from_slice(chunk.get(..room).unwrap_or_default());
        }
        Answer { status, headers, body }
    }

    /// Its beginning, fit for a log.
    pub fn shown(&self) -> String {
        let shown = self.body.get(..MAX_SHOWN).unwrap_or(&self.body);
        String::from_utf8_lossy(shown).trim_end().escape_debug().to_string()
    }

    /// After how long to try again, if it says so in seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
    }

    /// Whether what was sent is the receiver's now.
    pub fn judge(&self) -> Result<(), Refusal> {
        let status = self.status;
        if status.is_success() {
            return Ok(());
        }
        let what = format!("the answer is {status}: {}", self.shown());
        let after = self.retry_after();
        Err(match status {
            // About the body, which stays the same. 415 is about what all bodies are alike in, so it is no detection's fault.
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Refusal::Poison { what }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Refusal::Later { reason: Reason::Denied, what, after }
            }
            StatusCode::TOO_MANY_REQUESTS => Refusal::Later { reason: Reason::Throttled, what, after },
            _ => Refusal::Later { reason: Reason::Answer, what, after },
        })
    }
}
