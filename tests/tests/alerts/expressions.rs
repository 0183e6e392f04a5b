//! The words of an expression: enough of PromQL and LogQL to say which metrics and labels one asks for. Whether it is well
//! formed is for promtool to say.

/// `label OP "value"` in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    pub operator: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A metric, or in LogQL a stream without a name, and what is in its braces.
    Selector(String, Vec<Matcher>),
    /// Labels after `by`, `without`, `on`, `ignoring`.
    Labels(Vec<String>),
    /// A word before a parenthesis.
    Function(String),
    /// A quoted text outside of braces.
    Text(String),
    /// `name=` outside of braces: what LogQL's `json` makes.
    Made(String),
    /// Any other word.
    Word(String),
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !holds(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn blanks(&mut self) {
        let _blanks = self.take(char::is_whitespace);
    }

    fn skip(&mut self, what: char) -> bool {
        self.blanks();
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A quoted text, without its quotes. Nothing here has an escaped quote but what is in backticks.
    fn text(&mut self) -> Option<String> {
        self.blanks();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '`' | '\''))?;
        let (text, rest) = self.rest[1..].split_once(quote).expect("a closing quote");
        self.rest = rest;
        Some(text.to_owned())
    }

    fn word(&mut self) -> &'a str {
        self.take(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
    }

    fn matchers(&mut self) -> Vec<Matcher> {
        let mut matchers = Vec::new();
        while !self.skip('}') {
            let label = self.word().to_owned();
            self.blanks();
            let operator = self.take(|c| matches!(c, '=' | '!' | '~')).to_owned();
            let value = self.text().expect("a value");
            matchers.push(Matcher { label, operator, value });
            self.skip(',');
            self.blanks();
        }
        matchers
    }

    fn labels(&mut self) -> Vec<String> {
        let mut labels = Vec::new();
        while !self.skip(')') {
            labels.push(self.word().to_owned());
            self.skip(',');
            self.blanks();
        }
        labels
    }
}

/// Whether a name is a metric's, not a function's or a keyword.
fn is_metric(word: &str) -> bool {
    word == "up" || word.contains(':') || word.starts_with("yagura_") || word.starts_with("process_")
}

pub fn parts(expression: &str) -> Vec<Part> {
    let mut reader = Reader { rest: expression };
    let mut parts = Vec::new();
    loop {
        reader.blanks();
        let Some(next) = reader.rest.chars().next() else { return parts };
        let word = if next.is_alphabetic() || next == '_' { reader.word() } else { "" };
        if !word.is_empty() {
            parts.push(match word {
                "by" | "without" | "on" | "ignoring" if reader.skip('(') => Part::Labels(reader.labels()),
                metric if is_metric(metric) => {
                    let matchers = if reader.skip('{') { reader.matchers() } else { Vec::new() };
                    Part::Selector(metric.to_owned(), matchers)
                }
                name if reader.rest.starts_with('(') => Part::Function(name.to_owned()),
                name if reader.rest.starts_with('=') => Part::Made(name.to_owned()),
                other => Part::Word(other.to_owned()),
            });
        } else if let Some(text) = reader.text() {
            parts.push(Part::Text(text));
        } else if reader.skip('{') {
            parts.push(Part::Selector(String::new(), reader.matchers()));
        } else if next.is_ascii_digit() {
            // 1e-9 and 5m, too.
            let _number = reader.take(|c| c.is_ascii_alphanumeric() || c == '.');
        } else if reader.skip('[') {
            let _range = reader.take(|c| c != ']');
        } else {
            reader.rest = &reader.rest[next.len_utf8()..];
        }
    }
}

/// The metrics of an expression.
pub fn selectors(expression: &str) -> Vec<String> {
    let named = |part| if let Part::Selector(name, _) = part { Some(name) } else { None };
    parts(expression).into_iter().filter_map(named).collect()
}

#[test]
fn an_expression_is_taken_apart() {
    let matcher = |label: &str, operator: &str, value: &str| Matcher {
        label: label.into(),
        operator: operator.into(),
        value: value.into(),
    };
    let rows: [(&str, Vec<Part>); 3] = [
        (
            r#"sum by (a, b) (rate(yagura_x_total{c=~"d|e", f!="g"}[5m] offset 1h)) > 1e-9 * 6 unless on (a) up"#,
            vec![
                Part::Word("sum".into()),
                Part::Labels(vec!["a".into(), "b".into()]),
                Part::Function("rate".into()),
                Part::Selector(
                    "yagura_x_total".into(),
                    vec![matcher("c", "=~", "d|e"), matcher("f", "!=", "g")],
                ),
                Part::Word("offset".into()),
                Part::Word("unless".into()),
                Part::Labels(vec!["a".into()]),
                Part::Selector("up".into(), Vec::new()),
            ],
        ),
        ("level:yagura_x:rate5m", vec![Part::Selector("level:yagura_x:rate5m".into(), Vec::new())]),
        (
            r#"{job="yagura"} |= "x" | json pod=`output_fields["k8s.pod.name"]` | pod != """#,
            vec![
                Part::Selector(String::new(), vec![matcher("job", "=", "yagura")]),
                Part::Text("x".into()),
                Part::Word("json".into()),
                Part::Made("pod".into()),
                Part::Text("output_fields[\"k8s.pod.name\"]".into()),
                Part::Word("pod".into()),
                Part::Text(String::new()),
            ],
        ),
    ];
    for (expression, expected) in rows {
        assert_eq!(parts(expression), expected, "{expression}");
    }
}
