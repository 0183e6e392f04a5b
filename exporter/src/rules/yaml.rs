//! YAML with positions: a bounded tree in which each scalar knows where its characters stand.
//!
//! Built from the parser's events rather than with a loader, because a rules file is outside input: the
//! depth and the number of nodes are bounded here, aliases included.

use std::{borrow::Cow, cell::Cell, collections::HashMap, rc::Rc};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::{
    diagnostic::{Code, Problem},
    text::{Place, Text},
};

/// Deeper nesting than exceptions need by far.
const MAX_DEPTH: usize = 32;
/// Nodes of one file, counting what aliases stand for. The largest stock file has about 4,000.
const MAX_NODES: usize = 2_000_000;
/// A file beyond this is not a rules file.
const MAX_BYTES: usize = 32 << 20;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Rc<Node>>),
    /// In file order. Keys are scalars.
    Mapping(Vec<(Scalar, Rc<Node>)>),
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub place: Place,
    pub text: Text,
    /// Not quoted: `true`, `12` and `null` mean what they say.
    pub plain: bool,
}

impl Scalar {
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    fn is_null(&self) -> bool {
        self.plain && matches!(self.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Node {
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.is_null())
    }

    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// How many nodes this one stands for.
    fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar(_) => 1,
            Kind::Sequence(items) => 1 + items.iter().map(|item| item.size()).sum::<usize>(),
            Kind::Mapping(pairs) => 1 + pairs.iter().map(|(_, value)| 1 + value.size()).sum::<usize>(),
        }
    }
}

/// Parses all documents of a file. The error is the first problem: what follows one in YAML means nothing.
pub(super) fn parse(file: u32, source: &str) -> Result<Vec<Rc<Node>>, Problem> {
    let start = Place { file, line: 1, column: 1 };
    if source.len() > MAX_BYTES {
        let message = format!("the file has more than {} MiB", MAX_BYTES >> 20);
        return Err(Problem::new(Code::YamlParse, start, message));
    }
    // In `[` … `]` over several lines, YAML wants each line indented deeper than what is around it. Falco's
    // parser does not mind, and one of its own files has it so: such a line is parsed with more indentation.
    let mut padded = HashMap::new();
    let mut text = Cow::Borrowed(source);
    loop {
        let parsed = parse_once(Lines::new(file, &text, &padded), &text);
        let Err(ParseFailure::Indentation(problem)) = parsed else {
            return parsed.map_err(|failure| match failure {
                ParseFailure::Indentation(problem) | ParseFailure::Other(problem) => problem,
            });
        };
        let line = problem.place.line;
        if padded.contains_key(&line) || padded.len() * source.len() > MAX_REPARSED {
            return Err(problem);
        }
        let start = line_start(&text, line);
        text.to_mut().insert_str(start, &" ".repeat(PADDING as usize));
        padded.insert(line, PADDING);
    }
}

/// Deeper than any indentation.
const PADDING: u32 = 100;
/// How much may be parsed again because of lines that are not indented enough.
const MAX_REPARSED: usize = 1 << 26;

enum ParseFailure {
    /// A line in brackets is not indented enough.
    Indentation(Problem),
    Other(Problem),
}

impl From<Problem> for ParseFailure {
    fn from(problem: Problem) -> ParseFailure {
        ParseFailure::Other(problem)
    }
}

fn line_start(text: &str, line: u32) -> usize {
    let before = (line as usize).saturating_sub(1);
    match before.checked_sub(1) {
        None => 0,
        Some(nth) => memchr::memchr_iter(b'\n', text.as_bytes()).nth(nth).map_or(text.len(), |at| at + 1),
    }
}

fn parse_once(lines: Lines<'_>, source: &str) -> Result<Vec<Rc<Node>>, ParseFailure> {
    let mut builder =
        Builder { lines, documents: Vec::new(), open: Vec::new(), anchors: HashMap::new(), nodes: 0 };
    let mut parser = Parser::new_from_str(source);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => {
                let place = builder.lines.place_of(*error.marker());
                let problem = Problem::new(Code::YamlParse, place, error.info().to_owned());
                return Err(match error.info() {
                    "invalid indentation" => ParseFailure::Indentation(problem),
                    _ => ParseFailure::Other(problem),
                });
            }
        }
    }
    Ok(builder.documents)
}

struct Builder<'a> {
    lines: Lines<'a>,
    documents: Vec<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
}

/// A collection whose end has not been seen.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Rc<Node>>),
    Mapping { pairs: Vec<(Scalar, Rc<Node>)>, key: Option<Scalar> },
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let place = self.lines.place(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
            Event::DocumentEnd => self.anchors.clear(),
            Event::SequenceStart(anchor, _) => self.open(place, anchor, Content::Sequence(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                self.open(place, anchor, Content::Mapping { pairs: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { place, anchor, content }) = self.open.pop() {
                    let kind = match content {
                        Content::Sequence(items) => Kind::Sequence(items),
                        Content::Mapping { pairs, .. } => Kind::Mapping(pairs),
                    };
                    self.add(Rc::new(Node { place, kind }), anchor)?;
                }
            }
            Event::Scalar(value, style, anchor, _) => {
                self.count(1, place)?;
                let text = self.lines.align(&value, style, span);
                let scalar = Scalar { place, text, plain: style == ScalarStyle::Plain };
                self.add(Rc::new(Node { place, kind: Kind::Scalar(scalar) }), anchor)?;
            }
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned().ok_or_else(|| {
                    Problem::new(Code::YamlParse, place, "the alias refers to a node that contains it")
                })?;
                self.count(node.size(), place)?;
                self.add(node, 0)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), Problem> {
        self.count(1, place)?;
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(Problem::new(Code::YamlParse, place, message));
        }
        self.open.push(Open { place, anchor, content });
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let message = format!("the file stands for more than {MAX_NODES} YAML nodes");
            return Err(Problem::new(Code::YamlParse, place, message));
        }
        Ok(())
    }

    fn add(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), Problem> {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.documents.push(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { pairs, key }) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    let Kind::Scalar(scalar) = &node.kind else {
                        return Err(Problem::new(Code::YamlParse, node.place, "a key must be a scalar"));
                    };
                    if pairs.iter().any(|(known, _)| known.as_str() == scalar.as_str()) {
                        let message = format!("key '{}' occurs twice", scalar.as_str());
                        let problem = Problem::new(Code::YamlParse, node.place, message);
                        return Err(problem.width(scalar.as_str().chars().count()));
                    }
                    *key = Some(scalar.clone());
                }
            },
        }
        Ok(())
    }
}

/// The source by lines, for places.
struct Lines<'a> {
    file: u32,
    source: &'a str,
    /// Byte offset of each line's first character.
    starts: Vec<usize>,
    /// By line: blanks that are not in the file.
    padded: &'a HashMap<u32, u32>,
    /// The last position that was looked up, as line, column and offset: the next one is usually near.
    last: Cell<(usize, usize, usize)>,
}

/// A position in the source while a scalar is aligned with it.
#[derive(Clone, Copy)]
struct Cursor {
    offset: usize,
    line: u32,
    column: u32,
}

impl<'a> Lines<'a> {
    fn new(file: u32, source: &'a str, padded: &'a HashMap<u32, u32>) -> Lines<'a> {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', source.as_bytes()).map(|at| at + 1));
        Lines { file, source, starts: starts.collect(), padded, last: Cell::default() }
    }

    fn place(&self, span: Span) -> Place {
        self.place_of(span.start)
    }

    fn place_of(&self, marker: Marker) -> Place {
        self.at(marker.line() as u32, marker.col() as u32 + 1)
    }

    fn at(&self, line: u32, column: u32) -> Place {
        let padding = self.padded.get(&line).copied().unwrap_or_default();
        Place { file: self.file, line, column: column.saturating_sub(padding).max(1) }
    }

    fn cursor(&self, span: Span) -> Cursor {
        let (line, column) = (span.start.line().max(1), span.start.col());
        let (last_line, last_column, last_offset) = self.last.get();
        let (from, start) = if line == last_line && column >= last_column {
            (last_column, last_offset)
        } else {
            (0, self.starts.get(line - 1).copied().unwrap_or(self.source.len()))
        };
        let rest = self.source.get(start..).unwrap_or_default();
        let length = rest.char_indices().nth(column - from).map_or(rest.len(), |(at, _)| at);
        let offset = start + length;
        self.last.set((line, column, offset));
        Cursor { offset, line: line as u32, column: column as u32 + 1 }
    }

    fn peek(&self, cursor: Cursor) -> Option<char> {
        self.source.get(cursor.offset..)?.chars().next()
    }

    fn advance(&self, cursor: &mut Cursor) {
        if let Some(c) = self.peek(*cursor) {
            cursor.offset += c.len_utf8();
            if c == '\n' {
                cursor.line += 1;
                cursor.column = 1;
            } else {
                cursor.column += 1;
            }
        }
    }

    fn skip_line(&self, cursor: &mut Cursor) {
        while let Some(c) = self.peek(*cursor) {
            self.advance(cursor);
            if c == '\n' {
                break;
            }
        }
    }

    /// Finds the place of each character of a decoded scalar by walking along its source: what YAML
    /// changes are blanks (folding, indentation) and, in quotes, escapes.
    fn align(&self, value: &str, style: ScalarStyle, span: Span) -> Text {
        let mut cursor = self.cursor(span);
        match style {
            ScalarStyle::Literal | ScalarStyle::Folded => {
                if matches!(self.peek(cursor), Some('|' | '>')) {
                    self.skip_line(&mut cursor);
                }
            }
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                if matches!(self.peek(cursor), Some('\'' | '"')) {
                    self.advance(&mut cursor);
                }
            }
            ScalarStyle::Plain => {}
        }
        let mut text = Text::default();
        let mut piece_start = 0;
        let mut piece_place = Place::default();
        let mut next = Place::default();
        for (at, c) in value.char_indices() {
            let place = self.find(c, style, &mut cursor);
            if place != next || at == 0 {
                text.push(value.get(piece_start..at).unwrap_or_default(), piece_place);
                (piece_start, piece_place) = (at, place);
            }
            next = Place { column: place.column + 1, ..place };
        }
        text.push(value.get(piece_start..).unwrap_or_default(), piece_place);
        text
    }

    /// The place of the next decoded character, and the cursor after it.
    fn find(&self, c: char, style: ScalarStyle, cursor: &mut Cursor) -> Place {
        let here = |cursor: &Cursor| self.at(cursor.line, cursor.column);
        let blank = |c: Option<char>| c.is_some_and(char::is_whitespace);
        if c.is_whitespace() {
            let place = here(cursor);
            match self.peek(*cursor) {
                Some('\\') if style == ScalarStyle::DoubleQuoted => {
                    self.advance(cursor);
                    self.advance(cursor);
                }
                found if blank(found) => self.advance(cursor),
                _ => {}
            }
            return place;
        }
        let mut seen = *cursor;
        while blank(self.peek(seen)) {
            self.advance(&mut seen);
        }
        if self.peek(seen) == Some('\\') && style == ScalarStyle::DoubleQuoted {
            let place = here(&seen);
            self.advance(&mut seen);
            let digits = match self.peek(seen) {
                Some('x') => 2,
                Some('u') => 4,
                Some('U') => 8,
                _ => 0,
            };
            (0..=digits).for_each(|_| self.advance(&mut seen));
            *cursor = seen;
            return place;
        }
        // A doubled single quote is one character; anything else that does not match is not expected, and
        // then a near place is better than none.
        for _ in 0..4 {
            if self.peek(seen) == Some(c) {
                let place = here(&seen);
                self.advance(&mut seen);
                *cursor = seen;
                return place;
            }
            self.advance(&mut seen);
        }
        here(cursor)
    }
}
