//! The values of terms: fields, and transformers applied to them.

use std::borrow::Cow;

use super::{ast::Function, render, typed::Term};
use crate::fields::{Subject, Value};

/// The value of a term for an event, or `None` if it has none.
pub(super) fn value<'a, S: Subject>(term: &'a Term, subject: &'a S) -> Option<Value<'a>> {
    match term {
        Term::Field(field) => subject.get(field),
        Term::String(bytes) => Some(Value::str(bytes)),
        Term::List(terms) => {
            let mut values = Vec::with_capacity(terms.len());
            for term in terms {
                match value(term, subject)? {
                    Value::List(several) => values.extend(several),
                    value => values.push(value),
                }
            }
            Some(Value::List(values))
        }
        Term::Option(args, option) => match &**args {
            [list, options] => {
                let (list, options) = (value(list, subject)?, value(options, subject)?);
                last_option(&list, &options, *option)
            }
            _ => None,
        },
        Term::Call(function, args) => match (function, &**args) {
            (Function::Concat, args) => {
                let mut text = Vec::new();
                for arg in args {
                    push_bytes(&mut text, &value(arg, subject)?);
                }
                Some(Value::Str(Cow::Owned(text)))
            }
            (Function::Join, [separator, list]) => join(&value(separator, subject)?, &value(list, subject)?),
            (Function::Getopt, [list, options]) => {
                let (list, options) = (value(list, subject)?, value(options, subject)?);
                Some(all_options(&list, &options))
            }
            (function, [arg]) => transform(*function, value(arg, subject)?),
            _ => None,
        },
    }
}

/// A transformer of one value. Of a list each value is transformed, except by `len`.
fn transform(function: Function, value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::List(values) if function == Function::Len => Some(Value::Uint(values.len() as u64)),
        Value::List(values) => {
            let values = values.into_iter().map(|value| transform(function, value));
            Some(Value::List(values.collect::<Option<_>>()?))
        }
        Value::Str(bytes) => bytes_with(function, bytes, Value::Str),
        Value::Bytes(bytes) => bytes_with(function, bytes, Value::Bytes),
        _ => None,
    }
}

fn bytes_with<'a>(
    function: Function,
    bytes: Cow<'a, [u8]>,
    like: fn(Cow<'a, [u8]>) -> Value<'a>,
) -> Option<Value<'a>> {
    match function {
        Function::ToLower => Some(like(Cow::Owned(bytes.to_ascii_lowercase()))),
        Function::ToUpper => Some(like(Cow::Owned(bytes.to_ascii_uppercase()))),
        Function::B64 => base64(&bytes).map(|bytes| like(Cow::Owned(bytes))),
        Function::Len => Some(Value::Uint(bytes.len() as u64)),
        Function::Basename => {
            let start = memchr::memrchr(b'/', &bytes).map_or(0, |at| at + 1);
            Some(like(match bytes {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(start..).unwrap_or_default()),
                Cow::Owned(mut bytes) => Cow::Owned(bytes.split_off(start)),
            }))
        }
        _ => None,
    }
}

fn push_bytes(text: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Str(bytes) | Value::Bytes(bytes) => text.extend_from_slice(bytes),
        value => text.extend_from_slice(render::text(value).as_bytes()),
    }
}

fn join(separator: &Value<'_>, list: &Value<'_>) -> Option<Value<'static>> {
    let mut text = Vec::new();
    for (index, value) in items(list).iter().enumerate() {
        if index > 0 {
            push_bytes(&mut text, separator);
        }
        push_bytes(&mut text, value);
    }
    Some(Value::Str(Cow::Owned(text)))
}

/// The values of a list; another value is a list of one.
pub(super) fn items<'v, 'a>(value: &'v Value<'a>) -> &'v [Value<'a>] {
    match value {
        Value::List(values) => values,
        value => std::slice::from_ref(value),
    }
}

/// Standard alphabet, padding optional.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        buffer = buffer << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

fn bytes_of<'v>(value: &'v Value<'_>) -> &'v [u8] {
    match value {
        Value::Str(bytes) | Value::Bytes(bytes) => bytes,
        _ => &[],
    }
}

/// `getopt(…)`: the options and their values, as Falco's transformer lists them.
fn all_options(list: &Value<'_>, options: &Value<'_>) -> Value<'static> {
    let mut found = Vec::new();
    let mut push = |bytes: &[u8]| found.push(Value::Str(Cow::Owned(bytes.to_vec())));
    getopt(items(list), bytes_of(options), |option| match option {
        Found::Unknown => push(b"?"),
        Found::Flag(option) => push(&[option]),
        Found::Value(option, value) => {
            push(&[option]);
            push(value);
        }
        // The option's argument is missing.
        Found::NoValue(_) => push(b""),
    });
    Value::List(found)
}

/// `getopt(…)[option]`: the last value of one option; of an option without a value its own name.
fn last_option(list: &Value<'_>, options: &Value<'_>, wanted: u8) -> Option<Value<'static>> {
    let mut last = None;
    getopt(items(list), bytes_of(options), |option| match option {
        Found::Flag(option) if option == wanted => last = Some(vec![option]),
        Found::Value(option, value) if option == wanted => last = Some(value.to_vec()),
        Found::NoValue(option) if option == wanted => last = Some(Vec::new()),
        _ => {}
    });
    last.map(|bytes| Value::Str(Cow::Owned(bytes)))
}

enum Found<'v> {
    Unknown,
    Flag(u8),
    Value(u8, &'v [u8]),
    NoValue(u8),
}

/// getopt(3) without its GNU extensions: stops at `--` and at the first word that is no option; words that
/// begin with `--` are skipped.
fn getopt<'v>(words: &'v [Value<'_>], options: &[u8], mut found: impl FnMut(Found<'v>)) {
    let takes_value = |option: u8| {
        let at = options.iter().position(|known| *known == option && option != b':')?;
        Some(options.get(at + 1) == Some(&b':'))
    };
    let mut words = words.iter().map(|word| bytes_of(word));
    while let Some(word) = words.next() {
        let mut rest = match word {
            b"--" | b"-" | b"" => return,
            [b'-', b'-', ..] => continue,
            [b'-', rest @ ..] => rest,
            _ => return,
        };
        while let [option, tail @ ..] = rest {
            rest = tail;
            match takes_value(*option) {
                None => found(Found::Unknown),
                Some(false) => found(Found::Flag(*option)),
                Some(true) => {
                    let value = if tail.is_empty() { words.next() } else { Some(tail) };
                    found(value.map_or(Found::NoValue(*option), |value| Found::Value(*option, value)));
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings<'a>(words: &[&'a str]) -> Value<'a> {
        Value::List(words.iter().map(|word| Value::str(word.as_bytes())).collect())
    }

    #[test]
    fn getopt_lists_options_and_values() {
        let rows: &[(&[&str], &str, &[&str])] = &[
            (&["-n", ""], "n", &["n"]),
            (&["-t", "hello"], "t:", &["t", "hello"]),
            (&["-nt", "hello"], "nt:", &["n", "t", "hello"]),
            (&["-thello"], "t:", &["t", "hello"]),
            (&["-n", "--", "-t"], "nt:", &["n"]),
            (&["--exec", "-n"], "n", &["n"]),
            (&["word", "-n"], "n", &[]),
            (&["-", "-n"], "n", &[]),
            (&["-x", "-n"], "n", &["?", "n"]),
            (&["-t"], "t:", &[""]),
            (&["-t", ""], "t:", &["t", ""]),
            (&["-:"], ":n", &["?"]),
            (&[], "n", &[]),
            (&["-n"], "", &["?"]),
        ];
        for (words, options, expected) in rows {
            let found = all_options(&strings(words), &Value::str(options.as_bytes()));
            assert_eq!(found, strings(expected), "{words:?} {options}");
        }
    }

    #[test]
    fn getopt_with_a_selector_yields_the_last_value() {
        let rows: &[(&[&str], u8, Option<&str>)] = &[
            (&["-t", "a", "-t", "b"], b't', Some("b")),
            (&["-n"], b'n', Some("n")),
            (&["-n"], b't', None),
            (&["-t"], b't', Some("")),
        ];
        for (words, option, expected) in rows {
            let found = last_option(&strings(words), &Value::str(b"nt:"), *option);
            assert_eq!(found, expected.map(|text| Value::str(text.as_bytes())), "{words:?}");
        }
    }

    #[test]
    fn base64_is_decoded() {
        let rows: &[(&str, Option<&str>)] = &[
            ("", Some("")),
            ("YQ==", Some("a")),
            ("YQ", Some("a")),
            ("YWI=", Some("ab")),
            ("YWJj", Some("abc")),
            ("YWJjZA==", Some("abcd")),
            ("Y", None),
            ("Y*Jj", None),
        ];
        for (text, expected) in rows {
            assert_eq!(base64(text.as_bytes()).as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }
}
