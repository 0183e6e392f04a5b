//! Entries as bodies. The lines are the journal's, byte by byte.

use crate::delivery::Entry;

/// What a body holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// One detection, as Falco posts it.
    #[default]
    Single,
    /// A JSON array.
    Array,
    /// A line each.
    Lines,
}

impl Form {
    pub const fn content_type(self) -> &'static str {
        match self {
            Form::Single | Form::Array => "application/json",
            Form::Lines => "application/x-ndjson",
        }
    }

    /// Whether one request carries several entries.
    pub const fn is_batch(self) -> bool {
        !matches!(self, Form::Single)
    }

    pub fn body(self, entries: &[Entry]) -> Vec<u8> {
        let (open, between, close) = match self {
            Form::Single => ("", "", ""),
            Form::Array => ("[", ",", "]"),
            Form::Lines => ("", "\n", "\n"),
        };
        let length: usize = entries.iter().map(|entry| entry.line.len() + 1).sum();
        let mut body = Vec::with_capacity(length + 2);
        body.extend_from_slice(open.as_bytes());
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 {
                body.extend_from_slice(between.as_bytes());
            }
            body.extend_from_slice(entry.line.as_bytes());
        }
        body.extend_from_slice(close.as_bytes());
        body
    }
}
