//! From the parsed condition to the typed one: names become fields, right-hand sides become constants of
//! the field's type, and what makes no sense is reported with its place.

use exporter_common::event_type::EventType;

use super::{
    ast::{self, Function, Literal, Modifier, Operand, Operator, Right, Span},
    constant::{self, Constant, ValueSet},
    diagnostic::{Code, Problem},
    macros::at_span,
    parser::MAX_DEPTH,
    regexp::Regexp,
    text::Text,
    typed::{Check, Expr, ExprId, Expressions, Shape, Term, TermType, Test},
};
use crate::{
    fields::{FieldError, FieldType, Scheme, Source},
    glob::Glob,
    suggest::nearest,
};

/// Something found in a condition.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub problem: Problem,
    /// A name that is not known: with `skip-if-unknown-filter` only a warning.
    pub unknown: bool,
}

/// A longer list comes from a program, not from a keyboard.
const MAX_LOOKED_AT: usize = 64;
/// What a field's name begins with.
const FIELD_CLASSES: &[&str] =
    &["container", "evt", "fd", "group", "jevt", "k8s", "ka", "proc", "thread", "user"];

/// Types one condition.
pub(super) struct Checker<'a> {
    pub scheme: &'static Scheme,
    pub source: Source,
    pub text: &'a Text,
    /// `rule 'x'`.
    pub what: &'a str,
    pub exprs: &'a mut Expressions,
    /// The macros that the condition refers to, already typed; `None`: with errors.
    pub macro_: &'a dyn Fn(&str) -> Option<ExprId>,
    /// Names of lists, for suggestions.
    pub lists: &'a [&'a str],
    pub findings: Vec<Finding>,
}

/// The condition cannot be typed; why has been recorded.
struct Reported;

type Checked<T> = Result<T, Reported>;

impl Checker<'_> {
    /// The typed condition, or `None` with at least one error in `findings` (or in those of a macro).
    pub fn check(&mut self, expr: &ast::Expr) -> Option<ExprId> {
        match expr {
            ast::Expr::And(items) => self.all(items).map(|items| self.exprs.add(Expr::And(items))),
            ast::Expr::Or(items) => self.all(items).map(|items| self.exprs.add(Expr::Or(items))),
            ast::Expr::Not(inner) => {
                let inner = self.check(inner)?;
                Some(self.exprs.add(Expr::Not(inner)))
            }
            ast::Expr::Macro(name, span) => self.reference(name, *span),
            ast::Expr::Check(check) => self.comparison(check).ok(),
        }
    }

    fn all(&mut self, items: &[ast::Expr]) -> Option<Box<[ExprId]>> {
        // Each item is checked even if one before it has errors: all of them are to be reported.
        let checked: Vec<Option<ExprId>> = items.iter().map(|item| self.check(item)).collect();
        checked.into_iter().collect()
    }

    fn reference(&mut self, name: &str, span: Span) -> Option<ExprId> {
        let expr = (self.macro_)(name)?;
        if self.exprs.depth(expr) as usize >= MAX_DEPTH {
            let message =
                format!("with its macros the condition is nested more than {MAX_DEPTH} levels deep");
            let _ = self.error(span, message);
            return None;
        }
        Some(expr)
    }

    fn error(&mut self, span: Span, message: impl Into<String>) -> Reported {
        self.report(at_span(self.text, span, Code::CompileCondition, message), false)
    }

    fn report(&mut self, problem: Problem, unknown: bool) -> Reported {
        self.findings.push(Finding { problem: problem.item(self.what), unknown });
        Reported
    }

    fn comparison(&mut self, check: &ast::Check) -> Checked<ExprId> {
        let (term, ty) = self.operand(&check.left)?;
        let operator = check.operator;
        if operator == Operator::Exists {
            return Ok(self.exprs.add_check(Check { term, ty, test: Test::Exists }));
        }
        self.operator_fits(check, ty)?;
        if let Right::Operand(right) = &check.right {
            return self.field_to_field(check, term, ty, right);
        }
        let literals: &[Literal] = match &check.right {
            Right::Value(literal) => std::slice::from_ref(literal),
            Right::List(literals, _) => literals,
            Right::None | Right::Operand(_) => &[],
        };
        self.look_at_literals(check, literals);
        if let Some(modifier) = check.modifier {
            return self.modified(check, modifier, term, ty, literals);
        }
        let test = match operator {
            Operator::In | Operator::Intersects => {
                let set = self.set(check, ty, literals)?;
                let all = operator == Operator::In && ty.shape == Shape::List;
                if all { Test::AllIn(set) } else { Test::In(set) }
            }
            Operator::Pmatch => {
                Test::Pmatch(literals.iter().map(|path| Glob::path(path.value.as_bytes())).collect())
            }
            _ => match literals.first() {
                Some(literal) => self.test(check, ty, literal)?,
                None => return Err(self.error(check.operator_span, "there is nothing to compare with")),
            },
        };
        Ok(self.exprs.add_check(Check { term, ty, test }))
    }

    /// `oneof`, `anyof`, `allof`: the comparison with each value of the list. An empty list never holds.
    fn modified(
        &mut self,
        check: &ast::Check,
        modifier: Modifier,
        term: Term,
        ty: TermType,
        literals: &[Literal],
    ) -> Checked<ExprId> {
        let tests: Checked<Vec<Test>> =
            literals.iter().map(|literal| self.test(check, ty, literal)).collect();
        let tests = tests?;
        if modifier == Modifier::One || tests.is_empty() {
            let test = Test::OneOf(tests.into());
            return Ok(self.exprs.add_check(Check { term, ty, test }));
        }
        let checks: Vec<ExprId> = tests
            .into_iter()
            .map(|test| self.exprs.add_check(Check { term: term.clone(), ty, test }))
            .collect();
        Ok(match (checks.as_slice(), modifier) {
            ([only], _) => *only,
            (_, Modifier::All) => self.exprs.add(Expr::And(checks.into())),
            _ => self.exprs.add(Expr::Or(checks.into())),
        })
    }

    /// The test for one value on the right.
    fn test(&mut self, check: &ast::Check, ty: TermType, literal: &Literal) -> Checked<Test> {
        let bytes = || Box::<[u8]>::from(literal.value.as_bytes());
        Ok(match check.operator {
            Operator::Eq | Operator::Ne => {
                let set = self.set(check, ty, std::slice::from_ref(literal))?;
                if check.operator == Operator::Eq { Test::In(set) } else { Test::NotIn(set) }
            }
            Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge => {
                match self.constant(ty.ty, literal)? {
                    Constant::Number(number) => Test::Compare(check.operator, number),
                    _ => return Err(self.error(check.operator_span, "not a number")),
                }
            }
            Operator::Contains => Test::Contains(bytes()),
            Operator::Icontains => Test::Icontains(literal.value.to_ascii_lowercase().into_bytes().into()),
            Operator::Startswith => Test::Startswith(bytes()),
            Operator::Endswith => Test::Endswith(bytes()),
            Operator::Glob => Test::Glob(Glob::new(literal.value.as_bytes(), false)),
            Operator::Iglob => Test::Glob(Glob::new(literal.value.as_bytes(), true)),
            Operator::Bcontains | Operator::Bstartswith => match constant::hex(&literal.value) {
                Some(bytes) if check.operator == Operator::Bcontains => Test::Contains(bytes),
                Some(bytes) => Test::Startswith(bytes),
                None => {
                    let message = format!("'{}' is not a hexadecimal string", literal.value);
                    let problem = at_span(self.text, literal.span, Code::CompileCondition, message);
                    return Err(
                        self.report(problem.expected("pairs of hexadecimal digits, such as cafebabe"), false)
                    );
                }
            },
            Operator::Regex => match Regexp::new(&literal.value) {
                Ok(regexp) => Test::Regex(regexp),
                Err(error) => {
                    return Err(self.error(literal.span, format!("not a regular expression: {error}")));
                }
            },
            Operator::Exists | Operator::In | Operator::Intersects | Operator::Pmatch => {
                return Err(self.error(check.operator_span, "the operator takes no single value"));
            }
        })
    }

    fn set(&mut self, check: &ast::Check, ty: TermType, literals: &[Literal]) -> Checked<ValueSet> {
        let mut set = ValueSet::empty(ty.ty);
        let mut complete = true;
        for literal in literals {
            match self.constant(ty.ty, literal) {
                Ok(constant) => set.insert(constant),
                Err(Reported) => complete = false,
            }
            if self.is_event_type(&check.left) && EventType::from_name(&literal.value).is_none() {
                complete = false;
                let message = format!("event type '{}' is unknown or not collected", literal.value);
                let known = EventType::ALL.iter().map(|ty| ty.name());
                let problem = at_span(self.text, literal.span, Code::CompileCondition, message)
                    .suggest(nearest(&literal.value, known));
                let _ = self.report(problem, true);
            }
        }
        if complete { Ok(set) } else { Err(Reported) }
    }

    fn is_event_type(&self, operand: &Operand) -> bool {
        self.source == Source::Syscall
            && matches!(operand, Operand::Field(field) if field.name == "evt.type" && field.arg.is_none())
    }

    fn constant(&mut self, ty: FieldType, literal: &Literal) -> Checked<Constant> {
        constant::parse(ty, &literal.value).map_err(|expected| {
            let message =
                format!("'{}' cannot be compared with a field of type {}", literal.value, ty.name());
            let problem =
                at_span(self.text, literal.span, Code::CompileCondition, message).expected(expected);
            self.report(problem, false)
        })
    }

    /// Whether the operator makes sense for what is on its left.
    fn operator_fits(&mut self, check: &ast::Check, ty: TermType) -> Checked<()> {
        let string = matches!(ty.ty, FieldType::String);
        let bytes = string || matches!(ty.ty, FieldType::Bytes);
        let number = matches!(ValueSet::empty(ty.ty), ValueSet::Numbers(_));
        let (fits, wanted) = match check.operator {
            Operator::Exists | Operator::Eq | Operator::Ne | Operator::In | Operator::Intersects => {
                (true, "")
            }
            Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge => (number, "numbers"),
            Operator::Contains | Operator::Startswith | Operator::Endswith => (bytes, "strings and buffers"),
            Operator::Bcontains | Operator::Bstartswith => (bytes, "strings and buffers"),
            Operator::Icontains | Operator::Glob | Operator::Iglob | Operator::Regex | Operator::Pmatch => {
                (string, "strings")
            }
        };
        let word = check.operator.word();
        if !fits {
            let message = format!("'{word}' is for {wanted}, but '{}' has type {}", check.left, ty.ty.name());
            return Err(self.error(check.operator_span, message));
        }
        let list_operator = matches!(check.operator, Operator::Exists | Operator::In | Operator::Intersects);
        if ty.shape == Shape::List && !list_operator {
            let message = format!("'{word}' cannot be used on '{}', which is a list", check.left);
            let problem = at_span(self.text, check.operator_span, Code::CompileCondition, message);
            return Err(self.report(problem.expected("exists, in or intersects"), false));
        }
        if ty.shape != Shape::One && check.modifier.is_some() {
            let message =
                format!("'{}' can have several values; oneof, anyof and allof need one", check.left);
            return Err(self.error(check.operator_span, message));
        }
        Ok(())
    }

    fn field_to_field(
        &mut self,
        check: &ast::Check,
        term: Term,
        ty: TermType,
        right: &Operand,
    ) -> Checked<ExprId> {
        if check.modifier.is_some() || check.operator == Operator::Pmatch || check.operator == Operator::Regex
        {
            let message = "the right-hand side must be written out here, it cannot be a field";
            return Err(self.error(right.span(), message));
        }
        let (right_term, right_ty) = self.operand(right)?;
        if std::mem::discriminant(&ValueSet::empty(ty.ty))
            != std::mem::discriminant(&ValueSet::empty(right_ty.ty))
        {
            let message = format!(
                "'{}' has type {} and cannot be compared with type {}",
                check.left,
                ty.ty.name(),
                right_ty.ty.name()
            );
            return Err(self.error(right.span(), message));
        }
        Ok(self.exprs.add_check(Check { term, ty, test: Test::Term(check.operator, right_term) }))
    }

    /// Warnings about values that are probably not what was meant.
    fn look_at_literals(&mut self, check: &ast::Check, literals: &[Literal]) {
        let unsafe_field = matches!(&check.left, Operand::Field(field)
            if field.name.starts_with("ka.") || field.name.starts_with("jevt."));
        let equality = matches!(
            check.operator,
            Operator::Eq | Operator::Ne | Operator::In | Operator::Intersects | Operator::Pmatch
        );
        for literal in literals {
            if unsafe_field && equality && literal.value == "<NA>" {
                let message = "a field that is absent is not equal to <NA>; use 'exists'";
                let problem = at_span(self.text, literal.span, Code::UnsafeNaCheck, message);
                let _ = self.report(problem, false);
            }
            if literal.quoted || literals.len() > MAX_LOOKED_AT {
                continue;
            }
            let class = literal.value.split_once('.').map(|(class, _)| class);
            if class.is_some_and(|class| FIELD_CLASSES.contains(&class))
                && self.scheme.resolve(self.source, &literal.value, None).is_ok()
            {
                let message = format!("'{}' is compared as a string, not as a field", literal.value);
                let problem = at_span(self.text, literal.span, Code::ConditionWarning, message)
                    .suggest(Some(format!("val({})", literal.value)));
                let _ = self.report(problem, false);
            } else if literal.value.len() > 5 && literal.value.contains('_') && equality {
                let near = nearest(&literal.value, self.lists.iter().copied());
                if let Some(list) = near.filter(|list| *list != literal.value) {
                    let message = format!("there is no list '{}'; it is compared as a string", literal.value);
                    let problem = at_span(self.text, literal.span, Code::ConditionWarning, message);
                    let _ = self.report(problem.suggest(Some(list)), false);
                }
            }
        }
        if let (Operator::Ne, Operand::Field(field)) = (check.operator, &check.left) {
            let several =
                self.scheme.resolve(self.source, &field.name, field.arg.as_deref()).is_ok_and(|field| {
                    Shape::from(self.scheme.cardinality(&field)) == Shape::Any
                        && self.scheme.ty(&field) == FieldType::String
                });
            if several {
                let message = format!(
                    "'{0} !=' is true if one of several values differs; 'not {0} =' asks for none of them",
                    check.left
                );
                let problem = at_span(self.text, check.operator_span, Code::ConditionWarning, message);
                let _ = self.report(problem, false);
            }
        }
    }

    /// A field or a transformer, and its type.
    fn operand(&mut self, operand: &Operand) -> Checked<(Term, TermType)> {
        match operand {
            Operand::Field(field) => self.field(field),
            Operand::Call(call) => self.call(call),
            Operand::Literal(literal) => Ok((
                Term::String(literal.value.as_bytes().into()),
                TermType { ty: FieldType::String, shape: Shape::One },
            )),
            Operand::List(items, _) => {
                let items: Vec<Checked<(Term, TermType)>> =
                    items.iter().map(|item| self.operand(item)).collect();
                Ok(list(items.into_iter().collect::<Checked<Vec<_>>>()?))
            }
        }
    }

    fn field(&mut self, field: &ast::Field) -> Checked<(Term, TermType)> {
        match self.scheme.resolve(self.source, &field.name, field.arg.as_deref()) {
            Ok(resolved) => {
                if field.name == EVT_DIR {
                    let problem = at_span(self.text, field.span, Code::DeprecatedItem, EVT_DIR_DEPRECATED);
                    let _ = self.report(problem, false);
                }
                let ty = self.scheme.ty(&resolved);
                let shape = self.scheme.cardinality(&resolved).into();
                Ok((Term::Field(resolved), TermType { ty, shape }))
            }
            Err(error) => {
                let (message, unknown) = field_error(&error);
                let problem = at_span(self.text, field.span, Code::CompileCondition, message)
                    .suggest(error.suggestion());
                Err(self.report(problem, unknown))
            }
        }
    }

    fn call(&mut self, call: &ast::Call) -> Checked<(Term, TermType)> {
        let args: Vec<Checked<(Term, TermType)>> = call.args.iter().map(|arg| self.operand(arg)).collect();
        let args = args.into_iter().collect::<Checked<Vec<_>>>()?;
        let types: Vec<TermType> = args.iter().map(|(_, ty)| *ty).collect();
        let ty = signature(call, &types).map_err(|expected| {
            let message = format!("wrong arguments for '{}'", call.function.word());
            let problem = at_span(self.text, call.span, Code::CompileCondition, message).expected(expected);
            self.report(problem, false)
        })?;
        let mut terms: Box<[Term]> = args.into_iter().map(|(term, _)| term).collect();
        if let (Function::Val, Some(term)) = (call.function, terms.first_mut()) {
            return Ok((std::mem::replace(term, Term::List(Box::default())), ty));
        }
        let option = call.selector.as_ref().and_then(|selector| selector.as_bytes().first());
        let term = match option {
            Some(option) => Term::Option(terms, *option),
            None => Term::Call(call.function, terms),
        };
        Ok((term, ty))
    }
}

/// The only field that Falco has deprecated and we have.
const EVT_DIR: &str = "evt.dir";
pub(super) const EVT_DIR_DEPRECATED: &str =
    "'evt.dir' is deprecated: it is '<' for every event, so that '>' never matches";

/// Message, and whether the name is unknown.
pub(super) fn field_error(error: &FieldError) -> (String, bool) {
    match error {
        FieldError::Unknown { name, .. } => (format!("unknown field '{name}'"), true),
        FieldError::UnknownArgument { argument, .. } => {
            (format!("no event type has an argument '{argument}'"), true)
        }
        FieldError::WrongSource { .. } | FieldError::NotProvided { .. } => (error.to_string(), true),
        FieldError::BadArgument { .. } => (error.to_string(), false),
    }
}

/// A transformer's list. Its type is text only if that of all its items is.
pub(super) fn list(items: Vec<(Term, TermType)>) -> (Term, TermType) {
    let mut types = items.iter().map(|(_, ty)| ty.ty);
    let ty = types.find(|ty| *ty != FieldType::String).unwrap_or(FieldType::String);
    let terms = items.into_iter().map(|(term, _)| term).collect();
    (Term::List(terms), TermType { ty, shape: Shape::List })
}

/// The type of a transformer's result, or which arguments it takes.
pub(super) fn signature(call: &ast::Call, args: &[TermType]) -> Result<TermType, &'static str> {
    let string = |ty: &TermType| ty.ty == FieldType::String;
    let result = |ty, shape| Ok(TermType { ty, shape });
    match (call.function, args) {
        (Function::Val, [ty]) if matches!(call.args.first(), Some(Operand::Field(_))) => Ok(*ty),
        (Function::Val, _) => Err("one field"),
        (Function::ToLower | Function::ToUpper | Function::Basename, [ty]) if string(ty) => Ok(*ty),
        (Function::ToLower | Function::ToUpper | Function::Basename, _) => Err("one string"),
        (Function::B64, [ty]) if string(ty) || ty.ty == FieldType::Bytes => Ok(*ty),
        (Function::B64, _) => Err("one string or buffer"),
        (Function::Len, [ty]) if ty.shape == Shape::List || string(ty) || ty.ty == FieldType::Bytes => {
            result(FieldType::Uint64, Shape::One)
        }
        (Function::Len, _) => Err("one string, buffer or list"),
        (Function::Concat, [_, _, ..]) if args.iter().all(|ty| ty.shape == Shape::One) => {
            result(FieldType::String, Shape::One)
        }
        (Function::Concat, _) => Err("two or more single values"),
        (Function::Join, [separator, list]) if separator.shape == Shape::One && list.shape != Shape::One => {
            result(FieldType::String, Shape::One)
        }
        (Function::Join, _) => Err("a separator and a list"),
        (Function::Getopt, [list, options])
            if list.shape != Shape::One && string(list) && options.shape == Shape::One && string(options) =>
        {
            match &call.selector {
                None => result(FieldType::String, Shape::List),
                Some(selector) if selector.len() == 1 => result(FieldType::String, Shape::One),
                Some(_) => Err("a single option character in brackets"),
            }
        }
        (Function::Getopt, _) => Err("a list of arguments and an option string"),
    }
}
