//! Walking a marked YAML tree, collecting every error on the way.

use std::{ops::RangeInclusive, time::Duration};

use saphyr::{MarkedYaml, Marker, Scalar, YamlData};

use super::{ConfigError, ConfigErrors};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub value: T,
    pub at: Marker,
}

/// The errors found so far in one file.
#[derive(Debug)]
pub(super) struct Errors {
    file: String,
    found: Vec<ConfigError>,
}

impl Errors {
    pub fn new(file: &str) -> Errors {
        Errors { file: file.to_owned(), found: Vec::new() }
    }

    pub fn at(&mut self, at: Marker, message: String) {
        let (line, column) = (at.line(), at.col() + 1);
        self.found.push(ConfigError { file: self.file.clone(), line, column, message });
    }

    pub fn into_result<T>(mut self, value: T) -> Result<T, ConfigErrors> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort_by_key(|error| (error.line, error.column));
        Err(ConfigErrors(self.found))
    }

    /// `check`s a value if there is one; the default where there is none or it is wrong.
    pub fn parsed<S, T>(
        &mut self,
        value: Option<Spanned<S>>,
        default: T,
        check: impl FnOnce(&S) -> Result<T, String>,
    ) -> T {
        let Some(Spanned { value, at }) = value else { return default };
        check(&value).unwrap_or_else(|message| {
            self.at(at, message);
            default
        })
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy>(
        &mut self,
        value: Option<Spanned<String>>,
        choices: &[(&str, T)],
        default: T,
    ) -> T {
        self.parsed(value, default, |text| {
            choices.iter().find(|(name, _)| name == text).map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                format!("'{text}' is not one of: {}", names.join(", "))
            })
        })
    }

    /// An integer within bounds.
    pub fn ranged<T: TryFrom<u64>>(
        &mut self,
        value: Option<Spanned<u64>>,
        range: RangeInclusive<u64>,
        default: T,
    ) -> T {
        self.parsed(value, default, |number| {
            let error = || format!("{number} is not between {} and {}", range.start(), range.end());
            if !range.contains(number) {
                return Err(error());
            }
            T::try_from(*number).map_err(|_| error())
        })
    }
}

/// A mapping of which keys are taken one by one; what is left is unknown.
pub(super) struct Map<'y> {
    at: Marker,
    entries: Vec<(Spanned<String>, &'y MarkedYaml<'y>)>,
    known: Vec<&'static str>,
    env: &'y dyn Fn(&str) -> Option<String>,
}

impl<'y> Map<'y> {
    /// The document's top level; `None` if it is empty or (reported) not a mapping.
    pub fn root(
        node: &'y MarkedYaml<'y>,
        env: &'y dyn Fn(&str) -> Option<String>,
        errors: &mut Errors,
    ) -> Option<Map<'y>> {
        if matches!(node.data, YamlData::Value(Scalar::Null)) {
            return None;
        }
        Map::new("the configuration", node, env, errors)
    }

    fn new(
        what: &str,
        node: &'y MarkedYaml<'y>,
        env: &'y dyn Fn(&str) -> Option<String>,
        errors: &mut Errors,
    ) -> Option<Map<'y>> {
        let YamlData::Mapping(mapping) = &node.data else {
            errors.at(node.span.start, format!("{what} must be a mapping, not {}", kind(node)));
            return None;
        };
        let mut entries = Vec::with_capacity(mapping.len());
        for (key, value) in mapping {
            match &key.data {
                YamlData::Value(Scalar::String(name)) => {
                    entries.push((Spanned { value: name.to_string(), at: key.span.start }, value));
                }
                _ => errors.at(key.span.start, format!("a key must be a word, not {}", kind(key))),
            }
        }
        Some(Map { at: node.span.start, entries, known: Vec::new(), env })
    }

    /// Where it begins.
    pub fn at(&self) -> Marker {
        self.at
    }

    /// Reports the keys that nobody took.
    pub fn finish(self, errors: &mut Errors) {
        for (key, _) in self.entries {
            let suggestion = crate::suggest::nearest(&key.value, self.known.iter().copied())
                .map(|name| format!(", did you mean '{name}'?"))
                .unwrap_or_default();
            errors.at(key.at, format!("unknown key '{}'{suggestion}", key.value));
        }
    }

    fn take(&mut self, name: &'static str) -> Option<&'y MarkedYaml<'y>> {
        self.known.push(name);
        let index = self.entries.iter().position(|(key, _)| key.value == name)?;
        Some(self.entries.swap_remove(index).1)
    }

    fn scalar<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        errors: &mut Errors,
        get: impl FnOnce(&Scalar<'_>) -> Option<T>,
    ) -> Option<Spanned<T>> {
        let node = self.take(name)?;
        let value = match &node.data {
            YamlData::Value(scalar) => get(scalar),
            _ => None,
        };
        if value.is_none() {
            errors.at(node.span.start, format!("{name} must be {expected}, not {}", kind(node)));
        }
        Some(Spanned { value: value?, at: node.span.start })
    }

    pub fn map(&mut self, name: &'static str, errors: &mut Errors) -> Option<Map<'y>> {
        let node = self.take(name)?;
        Map::new(name, node, self.env, errors)
    }

    pub fn bool(&mut self, name: &'static str, errors: &mut Errors) -> Option<Spanned<bool>> {
        self.scalar(name, "true or false", errors, |s| s.as_bool())
    }

    pub fn integer(&mut self, name: &'static str, errors: &mut Errors) -> Option<Spanned<u64>> {
        self.scalar(name, "a number of 0 or more", errors, |s| s.as_integer()?.try_into().ok())
    }

    pub fn number(&mut self, name: &'static str, errors: &mut Errors) -> Option<Spanned<f64>> {
        self.scalar(name, "a number", errors, |s| match s {
            Scalar::Integer(i) => Some(*i as f64),
            Scalar::FloatingPoint(f) => Some(f.into_inner()),
            _ => None,
        })
    }

    /// Bytes: a number, or one with `KiB`, `MiB` or `GiB`.
    pub fn size(&mut self, name: &'static str, errors: &mut Errors) -> Option<Spanned<u64>> {
        const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        self.scalar(name, "a size like 8MiB", errors, |s| match s {
            Scalar::Integer(bytes) => (*bytes).try_into().ok(),
            Scalar::String(text) => with_unit(text, &UNITS),
            _ => None,
        })
    }

    /// A time: seconds, or a number with `ms`, `s`, `m`, `h` or `d`.
    pub fn duration(&mut self, name: &'static str, errors: &mut Errors) -> Option<Spanned<Duration>> {
        const UNITS: [(&str, u64); 5] =
            [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        self.scalar(name, "a time like 30s", errors, |s| match s {
            Scalar::Integer(seconds) => Some(Duration::from_secs((*seconds).try_into().ok()?)),
            Scalar::String(text) => with_unit(text, &UNITS).map(Duration::from_millis),
            _ => None,
        })
    }

    pub fn string(&mut self, name: &'static str, errors: &mut Errors) -> Option<Spanned<String>> {
        let text = self.scalar(name, "text", errors, |s| s.as_str().map(str::to_owned))?;
        Some(Spanned { value: expand(&text, self.env, errors), at: text.at })
    }

    /// A list of mappings.
    pub fn maps(&mut self, name: &'static str, errors: &mut Errors) -> Vec<(Marker, Map<'y>)> {
        let Some(node) = self.take(name) else { return Vec::new() };
        let YamlData::Sequence(items) = &node.data else {
            errors.at(node.span.start, format!("{name} must be a list, not {}", kind(node)));
            return Vec::new();
        };
        let entry = format!("an entry of {name}");
        items
            .iter()
            .filter_map(|item| Some((item.span.start, Map::new(&entry, item, self.env, errors)?)))
            .collect()
    }

    pub fn strings(&mut self, name: &'static str, errors: &mut Errors) -> Option<Vec<Spanned<String>>> {
        let node = self.take(name)?;
        let YamlData::Sequence(items) = &node.data else {
            errors.at(node.span.start, format!("{name} must be a list, not {}", kind(node)));
            return None;
        };
        let mut strings = Vec::with_capacity(items.len());
        for item in items {
            match &item.data {
                YamlData::Value(Scalar::String(text)) => {
                    let text = Spanned { value: text.to_string(), at: item.span.start };
                    strings.push(Spanned { value: expand(&text, self.env, errors), at: text.at });
                }
                _ => errors.at(item.span.start, format!("{name} must hold text, not {}", kind(item))),
            }
        }
        Some(strings)
    }
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Replaces `${NAME}` by the environment variable, as Falco does; `$${` stands for `${`. A variable that is
/// not set is an error: an empty node name would be found out too late.
fn expand(text: &Spanned<String>, env: &dyn Fn(&str) -> Option<String>, errors: &mut Errors) -> String {
    let mut out = String::with_capacity(text.value.len());
    let mut rest = text.value.as_str();
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let Some((name, tail)) = after.get(2..).and_then(|inner| inner.split_once('}')) else {
            errors.at(text.at, "'${' without '}'".into());
            return out;
        };
        match env(name) {
            Some(value) => out.push_str(&value),
            None => errors.at(text.at, format!("environment variable '{name}' is not set")),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn kind(node: &MarkedYaml<'_>) -> String {
    match &node.data {
        YamlData::Sequence(_) => "a list".into(),
        YamlData::Mapping(_) => "a mapping".into(),
        YamlData::Value(Scalar::Null) => "nothing".into(),
        YamlData::Value(Scalar::Boolean(b)) => format!("'{b}'"),
        YamlData::Value(Scalar::Integer(i)) => format!("'{i}'"),
        YamlData::Value(Scalar::FloatingPoint(f)) => format!("'{f}'"),
        YamlData::Value(Scalar::String(s)) => format!("'{s}'"),
        _ => "this".into(),
    }
}
