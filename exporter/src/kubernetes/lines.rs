//! An answer's body line by line, as it comes. A line has a bound.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::client::ClientError;

/// Longest line: an object's metadata. The API server itself takes no object above 3 MiB.
pub(super) const MAX_LINE: usize = 4 << 20;

pub(super) struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
    /// Bytes of the buffer in which no end of a line was found.
    searched: usize,
    /// How long nothing may come.
    idle: Duration,
}

impl Lines {
    pub fn new(body: Incoming, idle: Duration) -> Lines {
        Lines { body, buffer: Vec::new(), searched: 0, idle }
    }

    /// The next line without its end; `None` at the end of the body. A last line without an end is torn, and no line.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let mut line: Vec<u8> = self.buffer.drain(..=self.searched + at).collect();
                line.pop();
                self.searched = 0;
                if line.len() > MAX_LINE {
                    return Err(ClientError::TooLong(MAX_LINE));
                }
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > MAX_LINE {
                return Err(ClientError::TooLong(MAX_LINE));
            }
            let frame = timeout(self.idle, self.body.frame()).await.map_err(|_| ClientError::Timeout)?;
            match frame {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
