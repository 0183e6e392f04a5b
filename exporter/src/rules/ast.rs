//! What a condition says, before anything is known about fields: the parser's output.
//!
//! `Display` prints a condition that parses to the same tree.

use std::fmt;

/// Byte offsets into the text that was parsed. Not part of a condition's meaning: two conditions are equal
/// whatever their positions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

impl PartialEq for Span {
    fn eq(&self, _: &Span) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Macro(String, Span),
    Check(Box<Check>),
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Check {
    pub left: Operand,
    pub operator: Operator,
    pub operator_span: Span,
    pub modifier: Option<Modifier>,
    pub right: Right,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Field(Field),
    Call(Call),
    /// Only as an argument.
    Literal(Literal),
    /// Only as an argument.
    List(Vec<Operand>, Span),
}

impl Operand {
    pub fn span(&self) -> Span {
        match self {
            Operand::Field(field) => field.span,
            Operand::Call(call) => call.span,
            Operand::Literal(literal) => literal.span,
            Operand::List(_, span) => *span,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub name: String,
    pub arg: Option<String>,
    pub span: Span,
}

/// A transformer with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub function: Function,
    pub args: Vec<Operand>,
    /// `getopt(…)[t]`.
    pub selector: Option<String>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Right {
    /// The operator is unary.
    None,
    Value(Literal),
    List(Vec<Literal>, Span),
    /// `val(field)` or a transformer.
    Operand(Operand),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Literal {
    pub value: String,
    pub quoted: bool,
    pub span: Span,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// How it is written in a condition.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// Falco's comparison operators.
    Operator {
        Exists = "exists",
        Le = "<=",
        Lt = "<",
        Ge = ">=",
        Gt = ">",
        Eq = "=",
        Ne = "!=",
        Glob = "glob",
        Iglob = "iglob",
        Contains = "contains",
        Icontains = "icontains",
        Bcontains = "bcontains",
        Startswith = "startswith",
        Bstartswith = "bstartswith",
        Endswith = "endswith",
        Regex = "regex",
        Intersects = "intersects",
        In = "in",
        Pmatch = "pmatch",
    }
}

impl Operator {
    /// The word or sign in a rule; `==` is `=`.
    pub fn from_word(word: &str) -> Option<Operator> {
        if word == "==" {
            return Some(Operator::Eq);
        }
        Operator::ALL.iter().copied().find(|operator| operator.word() == word)
    }

    pub(super) fn kind(self) -> OperatorKind {
        match self {
            Operator::Exists => OperatorKind::Unary,
            Operator::Le | Operator::Lt | Operator::Ge | Operator::Gt => OperatorKind::Number,
            Operator::In | Operator::Intersects | Operator::Pmatch => OperatorKind::List,
            _ => OperatorKind::String,
        }
    }
}

/// What an operator takes on its right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperatorKind {
    Unary,
    Number,
    String,
    List,
}

words! {
    /// After a string operator: how it applies to a list of values.
    Modifier { One = "oneof", Any = "anyof", All = "allof" }
}

words! {
    /// Falco's field transformers. `val` only marks the right-hand side as a field.
    Function {
        ToLower = "tolower",
        ToUpper = "toupper",
        B64 = "b64",
        Basename = "basename",
        Len = "len",
        Join = "join",
        Concat = "concat",
        Getopt = "getopt",
        Val = "val",
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain = |items: &[Expr], word: &str| {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                match item {
                    Expr::And(_) | Expr::Or(_) => write!(f, "({item})")?,
                    _ => write!(f, "{item}")?,
                }
            }
            Ok(())
        };
        match self {
            Expr::And(items) => chain(items, "and"),
            Expr::Or(items) => chain(items, "or"),
            Expr::Not(inner) => write!(f, "not ({inner})"),
            Expr::Macro(name, _) => write!(f, "{name}"),
            Expr::Check(check) => write!(f, "{check}"),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left, self.operator.word())?;
        if let Some(modifier) = self.modifier {
            write!(f, " {}", modifier.word())?;
        }
        match &self.right {
            Right::None => Ok(()),
            Right::Value(literal) => write!(f, " {literal}"),
            Right::List(items, _) => write!(f, " {}", List(items)),
            Right::Operand(operand) => write!(f, " {operand}"),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Field(field) => {
                write!(f, "{}", field.name)?;
                match &field.arg {
                    Some(arg) => write!(f, "[{}]", quoted(arg)),
                    None => Ok(()),
                }
            }
            Operand::Call(call) => {
                write!(f, "{}(", call.function.word())?;
                for (index, arg) in call.args.iter().enumerate() {
                    write!(f, "{}{arg}", if index > 0 { ", " } else { "" })?;
                }
                write!(f, ")")?;
                match &call.selector {
                    Some(selector) => write!(f, "[{}]", quoted(selector)),
                    None => Ok(()),
                }
            }
            Operand::Literal(literal) => write!(f, "{literal}"),
            Operand::List(items, _) => write!(f, "{}", List(items)),
        }
    }
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(")?;
        for (index, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
        }
        write!(f, ")")
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quoted { write!(f, "{}", quoted(&self.value)) } else { write!(f, "{}", self.value) }
    }
}

/// As a double-quoted string of the condition language.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        match c {
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            _ => text.push(c),
        }
    }
    text.push('"');
    text
}
