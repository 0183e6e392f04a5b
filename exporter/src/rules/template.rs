//! Output templates: `%field`, `%field[arg]`, `%transformer(…)` in a text.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::{
    ast::{self, Operand},
    check::{field_error, list, signature},
    diagnostic::{Code, Problem},
    macros::at_span,
    parser, render,
    text::Text,
    transform,
    typed::{Shape, Term, TermType},
};
use crate::fields::{ArgSpec, FieldArg, FieldRef, FieldType, Scheme, Source, Subject};

/// A rule's output, ready to be rendered for an event.
#[derive(Clone, Debug)]
pub struct Template {
    source: String,
    pieces: Vec<Piece>,
    /// Fields of the condition that the output does not name, for [`Rendered::incomplete`].
    also: Vec<(String, FieldRef)>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value {
        /// As written after `%`: the key in `output_fields`.
        name: String,
        term: Term,
        /// `%20proc.name`: as many characters.
        width: Option<usize>,
    },
}

/// What became of a template.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// One line: control characters are escaped.
    pub text: String,
    /// Typed values by name, in the template's order; `null` if the event does not have the field.
    pub fields: Vec<(String, Json)>,
    /// Fields of the output and of the condition that the event does not have.
    pub incomplete: Vec<String>,
}

impl Template {
    /// The template as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The fields that rendering reads.
    pub fn fields(&self) -> Vec<&FieldRef> {
        let mut fields = Vec::new();
        for piece in &self.pieces {
            if let Piece::Value { term, .. } = piece {
                term.fields(&mut |field| fields.push(field));
            }
        }
        fields
    }

    /// Also report these as incomplete when they are absent.
    pub(super) fn with_condition(mut self, fields: &[FieldRef], scheme: &Scheme) -> Template {
        let own: HashSet<&FieldRef> = self.fields().into_iter().collect();
        let more = fields.iter().filter(|field| !own.contains(field));
        self.also = more.map(|field| (field_name(scheme, field), field.clone())).collect();
        self
    }

    pub fn render<S: Subject>(&self, subject: &S) -> Rendered {
        let mut text = String::with_capacity(self.source.len() * 2);
        let mut fields: Vec<(String, Json)> = Vec::new();
        let mut incomplete: Vec<String> = Vec::new();
        for piece in &self.pieces {
            let (name, term, width) = match piece {
                Piece::Text(piece) => {
                    text.push_str(piece);
                    continue;
                }
                Piece::Value { name, term, width } => (name, term, *width),
            };
            let value = transform::value(term, subject);
            let start = text.len();
            match &value {
                Some(value) => render::push_visible(&mut text, &render::text(value)),
                None => text.push_str(render::MISSING),
            }
            if let Some(width) = width {
                fit(&mut text, start, width);
            }
            if value.is_none() && !incomplete.contains(name) && may_have(term, subject) {
                incomplete.push(name.clone());
            }
            if !fields.iter().any(|(known, _)| known == name) {
                fields.push((name.clone(), value.as_ref().map_or(Json::Null, render::json)));
            }
        }
        let absent =
            (self.also.iter()).filter(|(_, field)| subject.get(field).is_none() && subject.may_have(field));
        incomplete.extend(absent.map(|(name, _)| name.clone()));
        Rendered { text, fields, incomplete }
    }
}

/// Whether an event like this one could have all that a term is made from.
fn may_have<S: Subject>(term: &Term, subject: &S) -> bool {
    let mut all = true;
    term.fields(&mut |field| all &= subject.may_have(field));
    all
}

/// Cuts or pads what follows `start` to `width` characters.
fn fit(text: &mut String, start: usize, width: usize) {
    let tail = text.get(start..).unwrap_or_default();
    match tail.char_indices().nth(width) {
        Some((end, _)) => text.truncate(start + end),
        None => {
            let missing = width - tail.chars().count();
            text.extend(std::iter::repeat_n(' ', missing));
        }
    }
}

/// A field as a rule writes it.
pub fn field_name(scheme: &Scheme, field: &FieldRef) -> String {
    let def = scheme.def(field.id);
    let dotted = matches!(def.arg, ArgSpec::RequiredName | ArgSpec::OptionalName);
    match &field.arg {
        FieldArg::None => def.name.to_owned(),
        FieldArg::Index(index) => format!("{}[{index}]", def.name),
        FieldArg::Key(key) if dotted => format!("{}.{key}", def.name),
        FieldArg::Key(key) => format!("{}[{key}]", def.name),
    }
}

/// No column is wider.
const MAX_WIDTH: usize = 1024;

/// Compiles a template. Problems are reported with whether they are about an unknown name.
pub(super) fn compile(
    scheme: &Scheme,
    source: Source,
    text: &Text,
    what: &str,
    report: &mut dyn FnMut(Problem, bool),
) -> Option<Template> {
    let string = text.as_str();
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut complete = true;
    // Falco: a leading `*` asks for output even if fields are missing, which is what always happens here.
    let mut at = usize::from(string.starts_with('*'));
    while let Some(rest) = string.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(percent) = rest.find('%') else {
            literal.push_str(rest);
            break;
        };
        literal.push_str(rest.get(..percent).unwrap_or_default());
        let start = at + percent;
        let after = string.get(start + 1..).unwrap_or_default();
        if after.starts_with('%') {
            literal.push('%');
            at = start + 2;
            continue;
        }
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let width = after.get(..digits).and_then(|digits| digits.parse().ok()).filter(|w| *w <= MAX_WIDTH);
        let after = after.get(digits..).unwrap_or_default();
        let from = start + 1 + digits;
        match field(scheme, source, after) {
            Ok((term, length)) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                let name = after.get(..length).unwrap_or_default().to_owned();
                pieces.push(Piece::Value { name, term, width });
                at = from + length;
            }
            Err(error) => {
                complete = false;
                let span = ast::Span { start: from + error.span.start, end: from + error.span.end };
                let mut problem = at_span(text, span, Code::CompileOutput, error.message).item(what);
                problem.suggestion = error.suggestion;
                problem.expected = error.expected;
                report(problem, error.unknown);
                at = (from + error.span.end).max(from);
            }
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    complete.then(|| Template { source: string.to_owned(), pieces, also: Vec::new() })
}

struct FieldProblem {
    span: ast::Span,
    message: String,
    expected: Option<String>,
    suggestion: Option<String>,
    unknown: bool,
}

/// The field or transformer at the start of `text`, and its length.
fn field(scheme: &Scheme, source: Source, text: &str) -> Result<(Term, usize), FieldProblem> {
    let (operand, length) = parser::parse_operand(text).map_err(|error| FieldProblem {
        span: error.span,
        message: match text.is_empty() {
            true => "the output ends with '%'".to_owned(),
            false => error.message,
        },
        expected: error.expected.or(Some("a field after '%', or '%%' for the sign itself".to_owned())),
        suggestion: error.suggestion,
        unknown: false,
    })?;
    let (term, _) = typed(scheme, source, &operand)?;
    Ok((term, length))
}

fn typed(scheme: &Scheme, source: Source, operand: &Operand) -> Result<(Term, TermType), FieldProblem> {
    let string = |shape| TermType { ty: FieldType::String, shape };
    match operand {
        Operand::Field(field) => match scheme.resolve(source, &field.name, field.arg.as_deref()) {
            Ok(resolved) => {
                let ty = scheme.ty(&resolved);
                let shape = scheme.cardinality(&resolved).into();
                Ok((Term::Field(resolved), TermType { ty, shape }))
            }
            Err(error) => {
                let (message, unknown) = field_error(&error);
                let suggestion = error.suggestion().map(str::to_owned);
                Err(FieldProblem { span: field.span, message, expected: None, suggestion, unknown })
            }
        },
        Operand::Literal(literal) => Ok((Term::String(literal.value.as_bytes().into()), string(Shape::One))),
        Operand::List(items, _) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| typed(scheme, source, item)).collect();
            Ok(list(items?))
        }
        Operand::Call(call) => {
            let args: Result<Vec<_>, _> = call.args.iter().map(|arg| typed(scheme, source, arg)).collect();
            let (terms, types): (Vec<Term>, Vec<TermType>) = args?.into_iter().unzip();
            let ty = signature(call, &types).map_err(|expected| FieldProblem {
                span: call.span,
                message: format!("wrong arguments for '{}'", call.function.word()),
                expected: Some(expected.to_owned()),
                suggestion: None,
                unknown: false,
            })?;
            let term = match (call.function, call.selector.as_ref().and_then(|s| s.as_bytes().first())) {
                (ast::Function::Val, _) => terms.into_iter().next().unwrap_or(Term::List(Box::default())),
                (_, Some(option)) => Term::Option(terms.into(), *option),
                (function, None) => Term::Call(function, terms.into()),
            };
            Ok((term, ty))
        }
    }
}
