//! The tokens of a condition. What a character means depends on where it stands (`-` may begin a number
//! or be part of a bare string), so the parser asks for the token it expects.

use super::ast::Span;

/// Why a condition does not parse, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ParseError {
    pub span: Span,
    pub message: String,
    pub expected: Option<String>,
    pub suggestion: Option<String>,
}

impl ParseError {
    pub fn new(span: Span, message: impl Into<String>) -> ParseError {
        ParseError { span, message: message.into(), expected: None, suggestion: None }
    }

    pub fn expected(mut self, expected: impl Into<String>) -> ParseError {
        self.expected = Some(expected.into());
        self
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    pub at: usize,
}

/// Falco's blanks.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{8}' | '\u{b}' | '\u{c}')
}

/// Characters of a bare string: `[^()"'[:space:]=,]`.
pub(super) fn is_bare(c: char) -> bool {
    !is_blank(c) && !matches!(c, '(' | ')' | '"' | '\'' | '=' | ',')
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub fn span_from(&self, start: usize) -> Span {
        Span { start, end: self.at }
    }

    /// What stands here, for a message about it: a word, or one character.
    pub fn here(&self) -> Span {
        let rest = self.rest();
        let word = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
        let length = if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) };
        Span { start: self.at, end: self.at + length }
    }

    /// The same, as text.
    pub fn found(&self) -> String {
        let Span { start, end } = self.here();
        match self.text.get(start..end) {
            Some("") | None => "the end of the condition".to_owned(),
            Some(token) => format!("'{token}'"),
        }
    }

    pub fn blank(&mut self) -> bool {
        let rest = self.rest();
        let length = rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
        self.at += length;
        length > 0
    }

    /// Takes exactly this text.
    pub fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// `not` followed by blanks.
    pub fn not_blank(&mut self) -> bool {
        let start = self.at;
        let found = self.take("not") && self.blank();
        if !found {
            self.at = start;
        }
        found
    }

    /// Takes a word if no letter, digit or underscore follows it.
    pub fn word(&mut self, word: &str) -> bool {
        let follows = self.rest().strip_prefix(word).map(|rest| rest.starts_with(is_word));
        let found = follows == Some(false);
        if found {
            self.at += word.len();
        }
        found
    }

    /// `[a-zA-Z]+[a-zA-Z0-9_]*`
    pub fn identifier(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let length = identifier_length(rest);
        self.at += length;
        rest.get(..length).filter(|name| !name.is_empty())
    }

    /// Identifiers joined by dots, at least two.
    pub fn field_name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let mut length = identifier_length(rest);
        let first = length;
        while length > 0 {
            let part =
                rest.get(length..).and_then(|rest| rest.strip_prefix('.')).map_or(0, identifier_length);
            if part == 0 {
                break;
            }
            length += 1 + part;
        }
        if length == first {
            return None;
        }
        self.at += length;
        rest.get(..length)
    }

    /// A name followed at once by `(`.
    pub fn call_name(&mut self) -> Option<&'a str> {
        let start = self.at;
        let name = self.identifier();
        if name.is_some() && self.take("(") {
            return name;
        }
        self.at = start;
        None
    }

    /// `[^]["'[:space:]]+`
    pub fn bare_argument(&mut self) -> Option<&'a str> {
        self.run(|c| !is_blank(c) && !matches!(c, '[' | ']' | '"' | '\''))
    }

    pub fn bare_string(&mut self) -> Option<&'a str> {
        self.run(is_bare)
    }

    fn run(&mut self, accept: impl Fn(char) -> bool) -> Option<&'a str> {
        let rest = self.rest();
        let length = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).filter(|run| !run.is_empty())
    }

    /// `0x…`, or `[+-]?[0-9]+[.]?[0-9]*([eE][+-][0-9]+)?`
    pub fn number(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let hex = bytes.iter().skip(2).take_while(|b| b.is_ascii_alphanumeric()).count();
        let length = if byte(0) == b'0' && matches!(byte(1), b'x' | b'X') && hex > 0 {
            2 + hex
        } else {
            let sign = usize::from(matches!(byte(0), b'+' | b'-'));
            let whole = digits(sign);
            if whole == 0 {
                return None;
            }
            let mut length = sign + whole;
            if byte(length) == b'.' {
                length += 1 + digits(length + 1);
            }
            if matches!(byte(length), b'e' | b'E') && matches!(byte(length + 1), b'+' | b'-') {
                let exponent = digits(length + 2);
                length += if exponent > 0 { 2 + exponent } else { 0 };
            }
            length
        };
        self.at += length;
        rest.get(..length)
    }

    /// A string in single or double quotes, unescaped. `Ok(None)`: no quote here.
    pub fn quoted_string(&mut self) -> Result<Option<String>, ParseError> {
        let start = self.at;
        let mut chars = self.rest().char_indices();
        let quote = match chars.next() {
            Some((_, quote @ ('"' | '\''))) => quote,
            _ => return Ok(None),
        };
        let mut value = String::new();
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                self.at = start + offset + 1;
                return Ok(Some(value));
            }
            if c != '\\' {
                value.push(c);
                continue;
            }
            match chars.next() {
                Some((_, 'b')) => value.push('\u{8}'),
                Some((_, 'f')) => value.push('\u{c}'),
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                // Falco reads an escaped blank as a backslash, for the sake of one of its own rules.
                Some((_, ' ' | '\\')) => value.push('\\'),
                Some((_, '/')) => value.push('/'),
                Some((_, escaped)) if escaped == quote => value.push(quote),
                Some((_, escaped)) => {
                    let from = start + offset;
                    let span = Span { start: from, end: from + 1 + escaped.len_utf8() };
                    return Err(ParseError::new(
                        span,
                        format!("unsupported escape '\\{escaped}' in the string"),
                    )
                    .expected(format!("one of \\b \\f \\n \\r \\t \\\\ \\/ \\{quote}")));
                }
                None => break,
            }
        }
        let span = Span { start, end: start + 1 };
        Err(ParseError::new(span, "the string has no end").expected(format!("a closing {quote}")))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn identifier_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return 0;
    }
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}
