//! When a test holds for a value. This is the definition of the language's comparisons; compiled rules
//! find the same answers faster.

use memchr::memmem;

use super::{
    ast::Operator,
    constant::Number,
    transform,
    typed::{Check, Expr, ExprId, Expressions, Shape, TermType, Test},
};
use crate::{
    fields::{FieldType, Subject, Value},
    glob::Glob,
};

impl Expressions {
    /// Whether a condition holds for an event: node by node, without anything compiled.
    pub fn holds<S: Subject>(&self, id: ExprId, subject: &S) -> bool {
        match self.expr(id) {
            Expr::And(items) => items.iter().all(|item| self.holds(*item, subject)),
            Expr::Or(items) => items.iter().any(|item| self.holds(*item, subject)),
            Expr::Not(inner) => !self.holds(*inner, subject),
            Expr::Check(check) => self.check(*check).holds(subject),
        }
    }
}

impl Check {
    /// Whether the comparison holds for an event. Without a value it does not.
    pub fn holds<S: Subject>(&self, subject: &S) -> bool {
        let Some(value) = transform::value(&self.term, subject) else { return false };
        match &self.test {
            Test::Term(operator, right) => transform::value(right, subject)
                .is_some_and(|right| compare(*operator, self.ty, &value, &right)),
            test => test.holds(self.ty, &value),
        }
    }
}

impl Test {
    /// Whether the test holds for a value, which may be a list. [`Test::Term`] needs an event and does not.
    pub fn holds(&self, ty: TermType, value: &Value<'_>) -> bool {
        let items = transform::items(value);
        match self {
            Test::Exists => !items.is_empty(),
            Test::AllIn(set) => !items.is_empty() && items.iter().all(|item| set.contains(item)),
            Test::NotIn(set) if all_must_differ(ty) => {
                !items.is_empty() && items.iter().all(|item| !set.contains(item))
            }
            test => items.iter().any(|item| test.holds_for(item)),
        }
    }

    /// Whether the test holds for one value, which is not a list.
    pub(super) fn holds_for(&self, value: &Value<'_>) -> bool {
        match self {
            Test::Exists => true,
            Test::In(set) | Test::AllIn(set) => set.contains(value),
            Test::NotIn(set) => !set.contains(value),
            Test::Compare(operator, constant) => {
                Number::of(value).is_some_and(|number| ordered(*operator, number, *constant))
            }
            Test::Any(tests) => tests.iter().any(|test| test.holds_for(value)),
            Test::OneOf(tests) => tests.iter().filter(|test| test.holds_for(value)).count() == 1,
            Test::Term(..) => false,
            test => with_bytes(value, |bytes| test.holds_for_bytes(bytes)),
        }
    }

    fn holds_for_bytes(&self, bytes: &[u8]) -> bool {
        match self {
            Test::Contains(needle) => memmem::find(bytes, needle).is_some(),
            Test::Icontains(needle) => memmem::find(&bytes.to_ascii_lowercase(), needle).is_some(),
            Test::Startswith(prefix) => bytes.starts_with(prefix),
            Test::Endswith(suffix) => bytes.ends_with(suffix),
            Test::Glob(glob) => glob.matches(bytes),
            Test::Regex(regexp) => regexp.matches(bytes),
            Test::Pmatch(paths) => paths.iter().any(|path| is_below(path, bytes)),
            _ => false,
        }
    }
}

/// `!=` on `fd.ip`, `fd.net`, `fd.port` and the like asks that neither end is it, as in Falco; on other
/// fields with several values it asks that one differs.
fn all_must_differ(ty: TermType) -> bool {
    ty.shape == Shape::Any && matches!(ty.ty, FieldType::IpAddr | FieldType::IpNet | FieldType::Port)
}

/// Calls `test` with the bytes of a string or buffer, or with the text of another value.
pub(super) fn with_bytes<R>(value: &Value<'_>, test: impl FnOnce(&[u8]) -> R) -> R {
    match value {
        Value::Str(bytes) | Value::Bytes(bytes) => test(bytes),
        value => test(super::render::text(value).as_bytes()),
    }
}

/// Whether `path` is the pattern or below it: the pattern matches the path up to some slash, or all of it.
pub(super) fn is_below(pattern: &Glob, path: &[u8]) -> bool {
    let mut ends = memchr::memchr_iter(b'/', path).chain(std::iter::once(path.len()));
    ends.any(|end| pattern.matches(path.get(..end).unwrap_or_default()))
}

pub(super) fn ordered(operator: Operator, left: Number, right: Number) -> bool {
    let ordering = left.compare(right);
    match operator {
        Operator::Lt => ordering.is_lt(),
        Operator::Le => ordering.is_le(),
        Operator::Gt => ordering.is_gt(),
        Operator::Ge => ordering.is_ge(),
        Operator::Ne => ordering.is_ne(),
        _ => ordering.is_eq(),
    }
}

/// A comparison of two values of an event.
pub(super) fn compare(operator: Operator, ty: TermType, left: &Value<'_>, right: &Value<'_>) -> bool {
    let (lefts, rights) = (transform::items(left), transform::items(right));
    let equals_any = |left: &Value<'_>| rights.iter().any(|right| compare_one(Operator::Eq, left, right));
    match operator {
        Operator::In if ty.shape == Shape::List => !lefts.is_empty() && lefts.iter().all(equals_any),
        Operator::In | Operator::Intersects => lefts.iter().any(equals_any),
        Operator::Ne if all_must_differ(ty) => !lefts.is_empty() && !lefts.iter().any(equals_any),
        _ => lefts.iter().any(|left| rights.iter().any(|right| compare_one(operator, left, right))),
    }
}

fn compare_one(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> bool {
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return ordered(operator, left, right);
    }
    match (left, right, operator) {
        (Value::Bool(left), Value::Bool(right), Operator::Eq) => left == right,
        (Value::Bool(left), Value::Bool(right), Operator::Ne) => left != right,
        (Value::Ip(left), Value::Ip(right), Operator::Eq) => left == right,
        (Value::Ip(left), Value::Ip(right), Operator::Ne) => left != right,
        (Value::Bool(_) | Value::Ip(_), ..) | (_, Value::Bool(_) | Value::Ip(_), _) => false,
        _ => with_bytes(left, |left| with_bytes(right, |right| compare_bytes(operator, left, right))),
    }
}

fn compare_bytes(operator: Operator, left: &[u8], right: &[u8]) -> bool {
    match operator {
        Operator::Eq => left == right,
        Operator::Ne => left != right,
        Operator::Contains | Operator::Bcontains => memmem::find(left, right).is_some(),
        Operator::Icontains => {
            memmem::find(&left.to_ascii_lowercase(), &right.to_ascii_lowercase()).is_some()
        }
        Operator::Startswith | Operator::Bstartswith => left.starts_with(right),
        Operator::Endswith => left.ends_with(right),
        Operator::Glob => Glob::new(right, false).matches(left),
        Operator::Iglob => Glob::new(right, true).matches(left),
        _ => false,
    }
}
