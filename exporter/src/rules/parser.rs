//! From the text of a condition to its tree.
//!
//! The grammar is Falco's (`libsinsp/filter/parser.h`). Parentheses are kept on an explicit stack, so that
//! their depth costs no stack of ours.

use super::{
    ast::{
        Call, Check, Expr, Field, Function, Literal, Modifier, Operand, Operator, OperatorKind, Right, Span,
    },
    lexer::{Lexer, ParseError},
};
use crate::suggest::nearest;

/// Parentheses and `not(` that may be open at once; Falco's limit.
pub(super) const MAX_DEPTH: usize = 1000;
/// Transformers inside transformers.
const MAX_CALLS: usize = 32;

/// Parses a whole condition.
pub(super) fn parse(text: &str) -> Result<Expr, ParseError> {
    Parser { lexer: Lexer::new(text) }.condition()
}

/// Parses one field or transformer at the start of `text`, as an output template has them after `%`. Also
/// returns its length.
pub(super) fn parse_operand(text: &str) -> Result<(Operand, usize), ParseError> {
    let mut parser = Parser { lexer: Lexer::new(text) };
    match parser.operand(0)? {
        Some(operand) => Ok((operand, parser.lexer.at)),
        None => Err(ParseError::new(parser.lexer.here(), "not a field or transformer")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
}

/// An open parenthesis, or the whole condition.
#[derive(Default)]
struct Group {
    /// Whether the group as a whole is negated.
    negated: bool,
    start: usize,
    ors: Vec<Expr>,
    ands: Vec<Expr>,
}

impl Group {
    fn close_and(&mut self) {
        let ands = std::mem::take(&mut self.ands);
        self.ors.push(one_or(ands, Expr::And));
    }

    fn finish(mut self) -> Expr {
        self.close_and();
        negate(one_or(self.ors, Expr::Or), self.negated)
    }
}

fn one_or(mut items: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    match items.pop() {
        Some(only) if items.is_empty() => only,
        last => {
            items.extend(last);
            many(items)
        }
    }
}

fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

impl Parser<'_> {
    fn condition(mut self) -> Result<Expr, ParseError> {
        let mut outer: Vec<Group> = Vec::new();
        let mut group = Group::default();
        self.lexer.blank();
        if self.lexer.at_end() {
            return Err(ParseError::new(self.lexer.here(), "the condition is empty"));
        }
        loop {
            let opened = self.start_of_operand(&mut outer, &mut group)?;
            if opened {
                continue;
            }
            if !self.end_of_operand(&mut outer, &mut group)? {
                return Ok(group.finish());
            }
        }
    }

    /// Reads `not`, then either opens a group (`true`) or reads a comparison into the current one.
    fn start_of_operand(&mut self, outer: &mut Vec<Group>, group: &mut Group) -> Result<bool, ParseError> {
        let mut negated = false;
        self.lexer.blank();
        while self.lexer.not_blank() {
            negated = !negated;
        }
        let start = self.lexer.at;
        let not_paren = self.lexer.take("not(");
        if not_paren || self.lexer.take("(") {
            if outer.len() >= MAX_DEPTH {
                let message = format!("more than {MAX_DEPTH} parentheses are open");
                return Err(ParseError::new(Span { start, end: start + 1 }, message));
            }
            let inner = Group { negated: negated ^ not_paren, start, ..Group::default() };
            outer.push(std::mem::replace(group, inner));
            return Ok(true);
        }
        let check = self.check()?;
        group.ands.push(negate(check, negated));
        Ok(false)
    }

    /// Reads what follows an operand: closing parentheses, then `and` or `or` (`true`) or the end.
    fn end_of_operand(&mut self, outer: &mut Vec<Group>, group: &mut Group) -> Result<bool, ParseError> {
        loop {
            self.lexer.blank();
            let start = self.lexer.at;
            if self.lexer.at_end() {
                return match outer.is_empty() {
                    true => Ok(false),
                    false => Err(ParseError::new(
                        Span { start: group.start, end: group.start + 1 },
                        "the parenthesis is never closed",
                    )
                    .expected("')'")),
                };
            }
            if self.lexer.take("or") {
                group.close_and();
                return self.after_word(start, "or");
            }
            if self.lexer.take("and") {
                return self.after_word(start, "and");
            }
            match outer.pop() {
                Some(parent) if self.lexer.take(")") => {
                    let inner = std::mem::replace(group, parent);
                    group.ands.push(inner.finish());
                }
                parent => {
                    let expected = if parent.is_some() { "'and', 'or' or ')'" } else { "'and' or 'or'" };
                    let message = format!("unexpected {}", self.lexer.found());
                    return Err(ParseError::new(self.lexer.here(), message).expected(expected));
                }
            }
        }
    }

    fn after_word(&mut self, start: usize, word: &str) -> Result<bool, ParseError> {
        if self.lexer.rest().starts_with('(') || self.lexer.blank() {
            return Ok(true);
        }
        if self.lexer.at_end() {
            let span = Span { start, end: start + word.len() };
            return Err(ParseError::new(span, format!("nothing follows '{word}'")).expected("a comparison"));
        }
        let end = self.lexer.here().end;
        let message = format!("'{word}' is neither followed by a blank nor by '('");
        Err(ParseError::new(Span { start, end }, message).expected("'and' or 'or'"))
    }

    fn check(&mut self) -> Result<Expr, ParseError> {
        let start = self.lexer.at;
        if let Some(left) = self.operand(0)? {
            if let Operand::Call(Call { function: Function::Val, span, .. }) = left {
                let message = "'val' can only stand on the right-hand side; here the field stands by itself";
                return Err(ParseError::new(span, message));
            }
            return self.comparison(left);
        }
        match self.lexer.identifier() {
            Some(name) => Ok(Expr::Macro(name.to_owned(), self.lexer.span_from(start))),
            None => Err(ParseError::new(self.lexer.here(), format!("unexpected {}", self.lexer.found()))
                .expected("a field, a transformer, a macro, 'not' or '('")),
        }
    }

    /// A field or a transformer, if one stands here.
    fn operand(&mut self, depth: usize) -> Result<Option<Operand>, ParseError> {
        let start = self.lexer.at;
        if let Some(name) = self.lexer.field_name() {
            let name = name.to_owned();
            let arg = self.bracket()?;
            let span = self.lexer.span_from(start);
            return Ok(Some(Operand::Field(Field { name, arg, span })));
        }
        let Some(name) = self.lexer.call_name() else { return Ok(None) };
        // `and(` and `or(` are not transformers.
        if matches!(name, "and" | "or" | "not") {
            self.lexer.at = start;
            return Ok(None);
        }
        let span = Span { start, end: start + name.len() };
        let Some(function) = Function::ALL.iter().copied().find(|function| function.word() == name) else {
            let mut error = ParseError::new(span, format!("unknown transformer '{name}'"));
            error.suggestion =
                nearest(name, Function::ALL.iter().map(|function| function.word())).map(str::to_owned);
            return Err(error.expected(one_of(Function::ALL.iter().map(|function| function.word()))));
        };
        if depth >= MAX_CALLS {
            return Err(ParseError::new(
                span,
                format!("more than {MAX_CALLS} transformers inside each other"),
            ));
        }
        self.call(function, start, depth).map(Some)
    }

    fn call(&mut self, function: Function, start: usize, depth: usize) -> Result<Operand, ParseError> {
        let mut args = Vec::new();
        self.lexer.blank();
        while !self.lexer.take(")") {
            if !args.is_empty() && !self.lexer.take(",") {
                return Err(ParseError::new(self.lexer.here(), format!("unexpected {}", self.lexer.found()))
                    .expected("',' or ')'"));
            }
            self.lexer.blank();
            args.push(self.argument(depth + 1)?);
            self.lexer.blank();
        }
        let selector = if function == Function::Getopt { self.bracket()? } else { None };
        Ok(Operand::Call(Call { function, args, selector, span: self.lexer.span_from(start) }))
    }

    /// A transformer's argument: a field, a transformer, a string, a number or a list.
    fn argument(&mut self, depth: usize) -> Result<Operand, ParseError> {
        if let Some(operand) = self.operand(depth)? {
            return Ok(operand);
        }
        let start = self.lexer.at;
        if self.lexer.take("(") {
            let items = self.list(start, |parser| parser.list_item(depth))?;
            return Ok(Operand::List(items, self.lexer.span_from(start)));
        }
        if let Some(value) = self.lexer.quoted_string()? {
            let span = self.lexer.span_from(start);
            return Ok(Operand::Literal(Literal { value, quoted: true, span }));
        }
        if let Some(number) = self.lexer.number() {
            let span = self.lexer.span_from(start);
            return Ok(Operand::Literal(Literal { value: number.to_owned(), quoted: false, span }));
        }
        Err(ParseError::new(self.lexer.here(), format!("unexpected {}", self.lexer.found()))
            .expected("a field, a transformer, a quoted string, a number or a list"))
    }

    /// One entry of a transformer's list: unlike in the list after an operator, a field is a field.
    fn list_item(&mut self, depth: usize) -> Result<Option<Operand>, ParseError> {
        match self.operand(depth)? {
            Some(operand) => Ok(Some(operand)),
            None => Ok(self.literal()?.map(Operand::Literal)),
        }
    }

    /// `[…]` right after a field.
    fn bracket(&mut self) -> Result<Option<String>, ParseError> {
        if !self.lexer.take("[") {
            return Ok(None);
        }
        let arg = match self.lexer.quoted_string()? {
            Some(arg) => arg,
            None => self.lexer.bare_argument().map(str::to_owned).ok_or_else(|| {
                ParseError::new(self.lexer.here(), format!("unexpected {}", self.lexer.found()))
                    .expected("an argument: a bare or a quoted string")
            })?,
        };
        if !self.lexer.take("]") {
            return Err(ParseError::new(self.lexer.here(), format!("unexpected {}", self.lexer.found()))
                .expected("']'"));
        }
        Ok(Some(arg))
    }

    fn comparison(&mut self, left: Operand) -> Result<Expr, ParseError> {
        self.lexer.blank();
        let start = self.lexer.at;
        let operator = self.operator()?;
        let operator_span = self.lexer.span_from(start);
        self.lexer.blank();
        let modifier = match operator.kind() {
            OperatorKind::String => self.modifier(),
            _ => None,
        };
        let right = match operator.kind() {
            OperatorKind::Unary => Right::None,
            OperatorKind::Number => self.right(Self::number_value)?,
            OperatorKind::String if modifier.is_some() => self.right(Self::list_value)?,
            OperatorKind::String => self.right(Self::string_value)?,
            OperatorKind::List => self.right(Self::list_value)?,
        };
        Ok(Expr::Check(Box::new(Check { left, operator, operator_span, modifier, right })))
    }

    fn operator(&mut self) -> Result<Operator, ParseError> {
        // A longer sign before its prefix.
        let signs = ["<=", "<", ">=", ">", "==", "=", "!="];
        for sign in signs {
            if self.lexer.take(sign)
                && let Some(operator) = Operator::from_word(sign)
            {
                return Ok(operator);
            }
        }
        let words =
            || Operator::ALL.iter().filter(|operator| operator.word().starts_with(char::is_alphabetic));
        for operator in words() {
            if self.lexer.word(operator.word()) {
                return Ok(*operator);
            }
        }
        let span = self.lexer.here();
        let mut error = match self.lexer.identifier() {
            Some(word) if !matches!(word, "and" | "or") => {
                let mut error = ParseError::new(span, format!("unknown operator '{word}'"));
                error.suggestion = nearest(word, words().map(|operator| operator.word())).map(str::to_owned);
                error
            }
            _ => ParseError::new(span, "a field must be compared with something"),
        };
        error.expected = Some(one_of(Operator::ALL.iter().map(|operator| operator.word())));
        Err(error)
    }

    /// `oneof`, `anyof` or `allof`, if a list follows.
    fn modifier(&mut self) -> Option<Modifier> {
        let start = self.lexer.at;
        for modifier in Modifier::ALL {
            if self.lexer.word(modifier.word()) {
                self.lexer.blank();
                if self.lexer.rest().starts_with('(') {
                    return Some(*modifier);
                }
                self.lexer.at = start;
            }
        }
        None
    }

    /// A transformer or `val(field)`, or else what `literal` reads.
    fn right(&mut self, literal: fn(&mut Self) -> Result<Right, ParseError>) -> Result<Right, ParseError> {
        let start = self.lexer.at;
        let call = self.lexer.call_name();
        self.lexer.at = start;
        if call.is_some_and(|name| Function::ALL.iter().any(|function| function.word() == name))
            && let Some(operand) = self.operand(0)?
        {
            return Ok(Right::Operand(operand));
        }
        literal(self)
    }

    fn number_value(&mut self) -> Result<Right, ParseError> {
        let start = self.lexer.at;
        match self.lexer.number() {
            Some(number) => {
                let value = number.to_owned();
                Ok(Right::Value(Literal { value, quoted: false, span: self.lexer.span_from(start) }))
            }
            None => Err(ParseError::new(self.lexer.here(), format!("unexpected {}", self.lexer.found()))
                .expected("a number, val(field) or a transformer")),
        }
    }

    fn string_value(&mut self) -> Result<Right, ParseError> {
        match self.literal()? {
            Some(literal) => Ok(Right::Value(literal)),
            None => Err(ParseError::new(self.lexer.here(), format!("unexpected {}", self.lexer.found()))
                .expected("a string, val(field) or a transformer")),
        }
    }

    fn list_value(&mut self) -> Result<Right, ParseError> {
        let start = self.lexer.at;
        if self.lexer.take("(") {
            let items = self.list(start, Self::literal)?;
            return Ok(Right::List(items, self.lexer.span_from(start)));
        }
        match self.lexer.identifier() {
            Some(name) => {
                let span = self.lexer.span_from(start);
                Ok(Right::Value(Literal { value: name.to_owned(), quoted: false, span }))
            }
            None => Err(ParseError::new(self.lexer.here(), format!("unexpected {}", self.lexer.found()))
                .expected("a list in parentheses, val(field) or a transformer")),
        }
    }

    /// The items and the `)` of a list.
    fn list<T>(
        &mut self,
        start: usize,
        item: impl Fn(&mut Self) -> Result<Option<T>, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = Vec::new();
        loop {
            self.lexer.blank();
            match item(self)? {
                Some(item) => items.push(item),
                None if items.is_empty() && self.lexer.rest().starts_with(')') => {}
                None if self.lexer.at_end() => {
                    let span = Span { start, end: start + 1 };
                    return Err(ParseError::new(span, "the list is never closed").expected("')'"));
                }
                None => {
                    let message = format!("unexpected {}", self.lexer.found());
                    return Err(ParseError::new(self.lexer.here(), message).expected("a value of the list"));
                }
            }
            self.lexer.blank();
            if self.lexer.take(")") {
                return Ok(items);
            }
            if !self.lexer.take(",") {
                let message = format!("unexpected {}", self.lexer.found());
                return Err(ParseError::new(self.lexer.here(), message).expected("',' or ')'"));
            }
        }
    }

    fn literal(&mut self) -> Result<Option<Literal>, ParseError> {
        let start = self.lexer.at;
        if let Some(value) = self.lexer.quoted_string()? {
            return Ok(Some(Literal { value, quoted: true, span: self.lexer.span_from(start) }));
        }
        Ok(self.lexer.bare_string().map(|value| Literal {
            value: value.to_owned(),
            quoted: false,
            span: self.lexer.span_from(start),
        }))
    }
}

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", words.collect::<Vec<_>>().join(" "))
}
