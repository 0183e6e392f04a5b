//! Bounds on what whoever made a container may say of it.

use crate::enrich::container::{Labels, Mount};

/// Longest name, reference, path or value of a label that is kept; of a longer one its beginning.
const MAX_TEXT: usize = 4096;
/// Longest JSON document that is kept; a longer one is not.
const MAX_DOCUMENT: usize = 64 << 10;
const MAX_LABELS: usize = 256;
const MAX_MOUNTS: usize = 256;

/// A text, unless it is empty.
pub(crate) fn text(text: &str) -> Option<Box<str>> {
    let end = text.floor_char_boundary(MAX_TEXT);
    text.get(..end).filter(|text| !text.is_empty()).map(Into::into)
}

/// A document, unless it is too long.
pub(crate) fn document(text: &str) -> Option<Box<str>> {
    (!text.is_empty() && text.len() <= MAX_DOCUMENT).then(|| text.into())
}

/// Labels or annotations. A document among them (what `kubectl apply` leaves) may be longer than a text.
pub(crate) fn labels<'l>(labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> Labels {
    let bounded = labels.into_iter().filter_map(|(name, value)| {
        let value =
            if value.starts_with('{') { document(value).or_else(|| text(value)) } else { text(value) };
        Some((text(name)?, value.unwrap_or_default()))
    });
    bounded.take(MAX_LABELS).collect()
}

pub(crate) fn mounts(mounts: impl Iterator<Item = Mount>) -> Box<[Mount]> {
    mounts.take(MAX_MOUNTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        assert_eq!(text(""), None);
        assert_eq!(text("a").as_deref(), Some("a"));
        let long = "é".repeat(MAX_TEXT);
        assert_eq!(text(&long).map(|text| text.len()), Some(MAX_TEXT));
        assert_eq!(document(&"x".repeat(MAX_DOCUMENT + 1)), None);
        let many: Vec<(String, &str)> = (0..1000).map(|number| (number.to_string(), "v")).collect();
        assert_eq!(labels(many.iter().map(|(name, value)| (&**name, *value))).len(), MAX_LABELS);
        let found = labels([("a", ""), ("", "b")]);
        assert_eq!(found.get("a").map(|value| &**value), Some(""));
        assert_eq!(found.len(), 1);
        assert_eq!(mounts((0..1000).map(|_| Mount::default())).len(), MAX_MOUNTS);
    }
}
