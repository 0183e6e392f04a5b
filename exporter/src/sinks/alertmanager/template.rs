//! Links with an alert's labels in them.

/// What can stand in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Rule,
    Tenant,
    Namespace,
    Cluster,
    Severity,
    Uuid,
}

const NAMES: [(&str, Value); 6] = [
    ("rule", Value::Rule),
    ("tenant", Value::Tenant),
    ("namespace", Value::Namespace),
    ("cluster", Value::Cluster),
    ("severity", Value::Severity),
    ("uuid", Value::Uuid),
];

/// A URL, with values to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Value),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("'{{' without '}}'")]
    Open,
    #[error("'{{{0}}}' is not one of: {names}", names = NAMES.map(|(name, _)| name).join(", "))]
    Unknown(String),
    #[error("a link begins with https:// or http://")]
    Url,
}

impl Template {
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or(TemplateError::Open)?;
            let value = NAMES.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Value(value.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?));
            rest = tail;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Template(parts);
        match template.render(|_| "x").parse::<reqwest::Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(template),
            _ => Err(TemplateError::Url),
        }
    }

    /// Values are encoded: they stay in their place of the URL.
    pub fn render<'v>(&self, value: impl Fn(Value) -> &'v str) -> String {
        let mut url = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Value(name) => encode(value(*name), &mut url),
            }
        }
        url
    }
}

/// All but the unreserved characters of RFC 3986.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_place() {
        let value = |name| match name {
            Value::Rule => "Shell & more/é",
            Value::Tenant => "shop",
            Value::Namespace => "",
            Value::Cluster => "eu-1",
            Value::Severity => "info",
            Value::Uuid => "0-1",
        };
        for (text, expected) in [
            ("https://g/d/x", Ok("https://g/d/x")),
            (
                "https://g/{tenant}?r={rule}&n={namespace}#{uuid}",
                Ok("https://g/shop?r=Shell%20%26%20more%2F%C3%A9&n=#0-1"),
            ),
            ("http://{cluster}.g/{severity}", Ok("http://eu-1.g/info")),
            ("https://g/{tenant", Err("'{' without '}'")),
            (
                "https://g/{pod}",
                Err("'{pod}' is not one of: rule, tenant, namespace, cluster, severity, uuid"),
            ),
            ("g/{rule}", Err("a link begins with https:// or http://")),
            ("javascript:{rule}", Err("a link begins with https:// or http://")),
        ] {
            let rendered = Template::parse(text).map(|template| template.render(value));
            let rendered = rendered.map_err(|error| error.to_string());
            assert_eq!(rendered, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }
}
