//! Text that knows where each of its characters came from.
//!
//! A condition is not one piece of a file: YAML folds its lines, `append` adds a piece from another file,
//! lists are pasted into it and exceptions are wrapped around it. A [`Text`] keeps the place of each
//! character through all that, so that a caret can point at what the author wrote.

use super::{SourceFile, diagnostic::Snippet};

/// A place in a source file: 1-based line and column, the column in characters. Line 0 is "no place".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

/// A string made of pieces, each of which is contiguous in its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    string: String,
    /// Sorted by `start`.
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// Byte offset in the string.
    start: usize,
    place: Place,
    /// Generated text (a blank, a parenthesis) has one place for all of its characters.
    fixed: bool,
}

impl Text {
    pub fn as_str(&self) -> &str {
        &self.string
    }

    pub fn len(&self) -> usize {
        self.string.len()
    }

    pub fn is_empty(&self) -> bool {
        self.string.is_empty()
    }

    /// Adds text that stands at `place`.
    pub fn push(&mut self, text: &str, place: Place) {
        self.push_segment(text, place, false);
    }

    /// Adds text that stands nowhere in a file, on behalf of what stands at `place`.
    pub fn push_generated(&mut self, text: &str, place: Place) {
        self.push_segment(text, place, true);
    }

    fn push_segment(&mut self, text: &str, place: Place, fixed: bool) {
        if !text.is_empty() {
            self.segments.push(Segment { start: self.string.len(), place, fixed });
            self.string.push_str(text);
        }
    }

    /// Adds `other[range]`, places included.
    pub fn push_range(&mut self, other: &Text, range: std::ops::Range<usize>) {
        let mut at = range.start;
        while at < range.end {
            let next = other.segments.partition_point(|segment| segment.start <= at);
            let end = other.segments.get(next).map_or(range.end, |segment| segment.start.min(range.end));
            let fixed = next.checked_sub(1).and_then(|i| other.segments.get(i)).is_some_and(|s| s.fixed);
            if let Some(piece) = other.string.get(at..end) {
                self.push_segment(piece, other.place(at), fixed);
            }
            at = end.max(at + 1);
        }
    }

    pub fn push_text(&mut self, other: &Text) {
        let shift = self.string.len();
        let moved = other.segments.iter().map(|segment| Segment { start: segment.start + shift, ..*segment });
        self.segments.extend(moved);
        self.string.push_str(&other.string);
    }

    /// Where the character at this byte offset stands; the end of the text stands after its last
    /// character.
    pub fn place(&self, at: usize) -> Place {
        let index = self.segments.partition_point(|segment| segment.start <= at);
        let Some(segment) = index.checked_sub(1).and_then(|i| self.segments.get(i)) else {
            return Place::default();
        };
        if segment.fixed {
            return segment.place;
        }
        let chars = self.string.get(segment.start..at.min(self.len())).map_or(0, |s| s.chars().count());
        Place { column: segment.place.column + chars as u32, ..segment.place }
    }

    /// How many characters from `range.start` on can be underlined: those on the same line.
    pub fn width(&self, range: std::ops::Range<usize>) -> usize {
        let start = self.place(range.start);
        let mut width = 0;
        for (offset, c) in self.string.get(range.clone()).unwrap_or_default().char_indices().take(200) {
            let place = self.place(range.start + offset);
            if place.file != start.file || place.line != start.line || c == '\n' {
                break;
            }
            width = (place.column.saturating_sub(start.column) + 1) as usize;
        }
        width.max(1)
    }

    /// Without blanks at both ends.
    pub fn trim(&self) -> Text {
        let trimmed = self.string.trim();
        let start = trimmed.as_ptr() as usize - self.string.as_ptr() as usize;
        let mut text = Text::default();
        text.push_range(self, start..start + trimmed.len());
        text
    }
}

/// The files that are being loaded, for snippets.
#[derive(Debug)]
pub(super) struct Files<'a> {
    files: &'a [SourceFile],
}

/// A longer source line is shown around the place only.
const SNIPPET_WIDTH: usize = 100;

impl<'a> Files<'a> {
    pub fn new(files: &'a [SourceFile]) -> Files<'a> {
        Files { files }
    }

    pub fn name(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |file| &file.name)
    }

    /// The line at `place`, cut to a readable width, with control characters made visible.
    pub fn snippet(&self, place: Place, width: u32) -> Option<Snippet> {
        let file = self.files.get(place.file as usize)?;
        let line = file.text.lines().nth(place.line.checked_sub(1)? as usize)?;
        let length = line.chars().count();
        let at = (place.column as usize).saturating_sub(1).min(length);
        let (skip, cut_start) = if length > SNIPPET_WIDTH && at > SNIPPET_WIDTH * 3 / 4 {
            (at - SNIPPET_WIDTH / 2, true)
        } else {
            (0, false)
        };
        let mut text = String::new();
        if cut_start {
            text.push('…');
        }
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        text.extend(line.chars().skip(skip).take(SNIPPET_WIDTH).map(shown));
        if length > skip + SNIPPET_WIDTH {
            text.push('…');
        }
        let offset = at - skip + usize::from(cut_start);
        let room = text.chars().count().saturating_sub(offset).max(1);
        Some(Snippet { text, offset: offset as u32, width: width.clamp(1, room as u32) })
    }
}
