//! Lists are substituted in the text of a condition before it is parsed, as in Falco: a list's name that
//! stands between blanks, parentheses, commas and `=` becomes its items.
//!
//! Unlike Falco, a name inside a quoted string is left alone, and an item that is not a bare string is
//! quoted with escapes, so that an item stays one value.

use std::collections::HashSet;

use super::{
    collect::Collected,
    diagnostic::{Code, Problem},
    exceptions::push_value,
    lexer::{is_bare, is_blank},
    text::Text,
};

/// A condition with its lists may not become longer than this.
const MAX_CONDITION: usize = 4 << 20;
/// Lists in lists.
const MAX_LEVELS: usize = 32;
/// Items looked at for one list, those of lists in it included.
const MAX_STEPS: usize = 1_000_000;

/// The text of each list, and which of them were used.
pub(super) struct Lists<'a> {
    collected: &'a Collected,
    /// By list: its items separated by commas, or `None` if it is too large.
    texts: Vec<Option<Text>>,
    pub used: HashSet<usize>,
}

impl<'a> Lists<'a> {
    pub fn new(collected: &'a Collected, problems: &mut Vec<Problem>) -> Lists<'a> {
        let mut lists = Lists { collected, texts: Vec::new(), used: HashSet::new() };
        for (at, list) in collected.lists.iter().enumerate() {
            let mut text = Text::default();
            let complete = lists.expand(at, 0, &mut 0, &mut text);
            if !complete {
                let message = format!(
                    "the list has more than {} MiB of items, or lists nested more than {MAX_LEVELS} levels",
                    MAX_CONDITION >> 20
                );
                let what = format!("list '{}'", list.name.as_str());
                problems.push(Problem::new(Code::Validate, list.name.place(0), message).item(what));
            }
            lists.texts.push(complete.then_some(text));
        }
        lists
    }

    /// Adds the items of a list, with the lists among them that it can see.
    fn expand(&mut self, at: usize, level: usize, steps: &mut usize, text: &mut Text) -> bool {
        let collected = self.collected;
        let Some(list) = collected.lists.get(at) else { return true };
        if level >= MAX_LEVELS {
            return false;
        }
        for item in &list.items {
            *steps += 1;
            let inner = collected.list(item.as_str()).filter(|inner| {
                *inner != at && collected.lists.get(*inner).is_some_and(|inner| inner.index < list.visibility)
            });
            if let Some(inner) = inner {
                self.used.insert(inner);
                match self.texts.get(inner) {
                    Some(Some(items)) if text.len() + items.len() <= MAX_CONDITION => {
                        if !(text.is_empty() || items.is_empty()) {
                            text.push_generated(", ", item.place(0));
                        }
                        text.push_text(items);
                        continue;
                    }
                    Some(_) => return false,
                    // Not expanded yet: defined before, but changed later.
                    None => {}
                }
                if *steps > MAX_STEPS || !self.expand(inner, level + 1, steps, text) {
                    return false;
                }
                continue;
            }
            if !text.is_empty() {
                text.push_generated(", ", item.place(0));
            }
            if item.is_empty() {
                text.push_generated("\"\"", list.name.place(0));
            } else {
                push_value(text, item);
            }
            if text.len() > MAX_CONDITION || *steps > MAX_STEPS {
                return false;
            }
        }
        true
    }

    /// The condition with each list's name replaced by its items.
    pub fn substitute(&mut self, condition: &Text) -> Result<Text, Problem> {
        let string = condition.as_str();
        let mut result = Text::default();
        let mut done = 0;
        let mut at = 0;
        while let Some(c) = string.get(at..).and_then(|rest| rest.chars().next()) {
            let rest = string.get(at..).unwrap_or_default();
            if matches!(c, '"' | '\'') {
                at += string_length(rest);
                continue;
            }
            if !is_bare(c) {
                at += c.len_utf8();
                continue;
            }
            let mut length = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
            // A quote right after is not a delimiter: `name"x"` is no list.
            let quoted = rest.get(length..).is_some_and(|rest| rest.starts_with(['"', '\'']));
            let name = rest.get(..length).unwrap_or_default();
            if let (Some(list), false) = (self.collected.list(name), quoted) {
                self.used.insert(list);
                let mut start = at;
                let items = self.texts.get(list).and_then(Option::as_ref);
                // An empty list takes a comma with it.
                if items.is_none_or(Text::is_empty) {
                    let before = string.get(..at).unwrap_or_default().trim_end_matches(is_blank);
                    let after = rest.get(length..).unwrap_or_default();
                    let trimmed = after.trim_start_matches(is_blank);
                    if before.len() > done && before.ends_with(',') {
                        start = before.len() - 1;
                    } else if result_ends_with_comma(&result, before, done) {
                        result = without_last_comma(&result);
                    } else if trimmed.starts_with(',') {
                        length += after.len() - trimmed.len() + 1;
                    }
                }
                result.push_range(condition, done..start);
                result.push_generated(" ", condition.place(at));
                if let Some(items) = items {
                    result.push_text(items);
                }
                result.push_generated(" ", condition.place(at));
                done = at + length;
            }
            at += length;
            if result.len() > MAX_CONDITION {
                let message =
                    format!("the condition with its lists is longer than {} MiB", MAX_CONDITION >> 20);
                return Err(Problem::new(Code::Validate, condition.place(0), message));
            }
        }
        if done == 0 {
            return Ok(condition.clone());
        }
        result.push_range(condition, done..string.len());
        Ok(result)
    }
}

/// After a substitution, the comma before the next name may already be in the result.
fn result_ends_with_comma(result: &Text, before: &str, done: usize) -> bool {
    before.len() <= done && result.as_str().trim_end_matches(is_blank).ends_with(',')
}

fn without_last_comma(text: &Text) -> Text {
    let end = text.as_str().trim_end_matches(is_blank).len().saturating_sub(1);
    let mut shorter = Text::default();
    shorter.push_range(text, 0..end);
    shorter
}

/// The length of the quoted string at the start of `text`, or of its first character if it has no end.
fn string_length(text: &str) -> usize {
    let mut chars = text.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if Some(c) == quote {
            return at + c.len_utf8();
        }
    }
    1
}
