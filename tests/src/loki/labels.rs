//! Labels as a query has them: `{name="value", …}`, values quoted as Go quotes.

use super::Labels;

/// Each name once, names as Prometheus allows them.
pub(super) fn parse(text: &str) -> Result<Labels, String> {
    let wrong = || format!("error parsing labels '{text}'");
    let mut rest = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(wrong)?;
    let mut labels = Labels::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").ok_or_else(wrong)?;
        let name = name.trim();
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
            return Err(wrong());
        }
        let (value, after) = unquote(after).ok_or_else(wrong)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("stream '{text}' has duplicate label name: '{name}'"));
        }
        rest = match after.trim_start() {
            "" => "",
            after => after.strip_prefix(',').ok_or_else(wrong)?,
        };
    }
    Ok(labels)
}

/// The value up to its closing quote, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        let (at, c) = chars.next()?;
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\n' => return None,
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\') => value.push(c),
                'u' => {
                    let digits: String = (0..4).filter_map(|_| chars.next()).map(|(_, c)| c).collect();
                    value.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                _ => return None,
            },
            c => value.push(c),
        }
    }
}
