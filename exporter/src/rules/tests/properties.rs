//! Properties over generated conditions and events, and hostile input.

use std::borrow::Cow;

use exporter_common::event_type::EventType;
use proptest::prelude::*;

use super::support::{Event, load_text, matches, rule_with, rules};
use crate::{
    fields::Value,
    rules::{
        ast::{
            Check, Expr, Field, Function, Literal, Modifier, Operand, Operator, OperatorKind, Right, Span,
        },
        parser,
    },
};

fn literal() -> impl Strategy<Value = Literal> {
    let bare = "[a-zA-Z0-9_./*-]{1,6}".prop_map(|value| (value, false));
    // What the language cannot write in a string: other control characters.
    let quoted = "[ -~\t\n\r\u{8}\u{c}é]{0,6}".prop_map(|value| (value, true));
    prop_oneof![bare, quoted].prop_map(|(value, quoted)| Literal { value, quoted, span: Span::default() })
}

fn operand() -> impl Strategy<Value = Operand> {
    let argument = proptest::option::of("[a-z0-9/ ]{1,4}");
    let field = ("[a-z]{1,3}(\\.[a-z][a-z_]{0,3}){1,2}", argument)
        .prop_map(|(name, arg)| Operand::Field(Field { name, arg, span: Span::default() }));
    let call = |args: Vec<Operand>, function, selector: Option<String>| {
        let selector = selector.filter(|_| function == Function::Getopt);
        Operand::Call(crate::rules::ast::Call { function, args, selector, span: Span::default() })
    };
    field.prop_recursive(2, 6, 3, move |inner| {
        let text = "[a-z ]{0,3}"
            .prop_map(|value| Operand::Literal(Literal { value, quoted: true, span: Span::default() }));
        let item = prop_oneof![inner.clone(), text.clone()];
        let list =
            proptest::collection::vec(item, 0..3).prop_map(|list| Operand::List(list, Span::default()));
        let argument = prop_oneof![3 => inner, 1 => list, 1 => text];
        let function = proptest::sample::select(Function::ALL);
        (proptest::collection::vec(argument, 0..3), function, proptest::option::of("[a-z]"))
            .prop_map(move |(args, function, selector)| call(args, function, selector))
    })
}

fn check() -> impl Strategy<Value = Expr> {
    let operator = proptest::sample::select(Operator::ALL);
    let modifier = proptest::option::of(proptest::sample::select(Modifier::ALL));
    let number = "[+-]?[0-9]{1,3}(\\.[0-9]+)?(e[+-][0-9])?|0x[0-9a-f]{1,3}";
    let list = proptest::collection::vec(literal(), 0..4);
    let left = operand().prop_filter(
        "val is for the right-hand side",
        |operand| !matches!(operand, Operand::Call(call) if call.function == Function::Val),
    );
    (left, operator, modifier, literal(), number, list, proptest::option::weighted(0.2, operand())).prop_map(
        |(left, operator, modifier, literal, number, list, right)| {
            let modifier = modifier.filter(|_| operator.kind() == OperatorKind::String);
            let list = Right::List(list, Span::default());
            // A literal that begins like a call is only there in quotes.
            let right = match (operator.kind(), right) {
                (OperatorKind::Unary, _) => Right::None,
                (_, Some(right @ Operand::Call(_))) if modifier.is_none() => Right::Operand(right),
                (OperatorKind::Number, _) => {
                    Right::Value(Literal { value: number, quoted: false, span: Span::default() })
                }
                (OperatorKind::List, _) => list,
                (OperatorKind::String, _) if modifier.is_some() => list,
                (OperatorKind::String, _) => Right::Value(literal),
            };
            let operator_span = Span::default();
            Expr::Check(Box::new(Check { left, operator, operator_span, modifier, right }))
        },
    )
}

fn condition() -> impl Strategy<Value = Expr> {
    let name = "m[a-z0-9_]{0,4}".prop_map(|name| Expr::Macro(name, Span::default()));
    prop_oneof![3 => check(), 1 => name].prop_recursive(4, 24, 4, |inner| {
        let many = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            many.clone().prop_map(Expr::And),
            many.prop_map(Expr::Or),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

/// A condition over a few fields and values, so that comparisons often agree.
fn small_condition() -> impl Strategy<Value = String> {
    let word = || proptest::sample::select(vec!["a", "ab", "b", "abc", "/a", "/a/b", "\"\"", "\"a b\"", "x"]);
    let words = || proptest::collection::vec(word(), 0..4).prop_map(|words| words.join(", "));
    let string = || {
        proptest::sample::select(vec![
            "proc.name",
            "fd.name",
            "proc.aname",
            "proc.exepath",
            "tolower(proc.name)",
            "toupper(fd.name)",
            "basename(fd.name)",
            "concat(proc.name, proc.pname)",
            "join(\"/\", (proc.name, fd.name))",
            "tolower(basename(proc.exepath))",
        ])
    };
    let operators =
        vec!["=", "!=", "contains", "icontains", "startswith", "endswith", "glob", "iglob", "regex"];
    let number = || {
        let fields =
            vec!["fd.num", "proc.pid", "fd.sport", "proc.duration", "len(proc.name)", "len(proc.aname)"];
        proptest::sample::select(fields)
    };
    let numbers = vec!["=", "!=", "<", "<=", ">", ">="];
    let ips = vec!["10.0.0.1", "\"10.0.0.0/8\"", "\"::1\"", "1.1.1.1"];
    let types = vec!["open", "openat", "execve", "connect"];
    let leaf = prop_oneof![
        4 => (string(), proptest::sample::select(operators.clone()), word())
            .prop_map(|(field, operator, word)| format!("{field} {operator} {word}")),
        2 => (string(), proptest::sample::select(vec!["in", "intersects", "pmatch"]), words())
            .prop_map(|(field, operator, words)| format!("{field} {operator} ({words})")),
        1 => (
            proptest::sample::select(vec!["proc.name", "fd.name"]),
            proptest::sample::select(operators),
            proptest::sample::select(vec!["oneof", "anyof", "allof"]),
            words(),
        ).prop_map(|(field, operator, modifier, words)| format!("{field} {operator} {modifier} ({words})")),
        2 => (number(), proptest::sample::select(numbers), 0..4u32)
            .prop_map(|(field, operator, number)| format!("{field} {operator} {number}")),
        1 => (number(), proptest::collection::vec(0..4u32, 0..3))
            .prop_map(|(field, numbers)| format!("{field} in ({})", numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))),
        1 => (proptest::sample::select(vec!["=", "!="]), proptest::sample::select(ips.clone()))
            .prop_map(|(operator, ip)| format!("fd.ip {operator} {ip}")),
        1 => proptest::collection::vec(proptest::sample::select(ips), 0..3)
            .prop_map(|ips| format!("fd.ip in ({})", ips.join(","))),
        1 => any::<bool>().prop_map(|value| format!("evt.is_open_read = {value}")),
        1 => string().prop_map(|field| format!("{field} exists")),
        1 => (string(), proptest::sample::select(vec!["=", "!=", "startswith", "in"]))
            .prop_map(|(field, operator)| format!("{field} {operator} val(proc.pname)")),
        2 => (proptest::sample::select(vec!["=", "!="]), proptest::sample::select(types))
            .prop_map(|(operator, ty)| format!("evt.type {operator} {ty}")),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        let many = proptest::collection::vec(inner.clone(), 2..5);
        prop_oneof![
            many.clone().prop_map(|items| format!("({})", items.join(" and "))),
            many.prop_map(|items| format!("({})", items.join(" or "))),
            inner.prop_map(|inner| format!("not ({inner})")),
        ]
    })
}

fn event() -> impl Strategy<Value = Event> {
    let word = || proptest::sample::select(vec!["a", "ab", "B", "abc", "/a", "/a/b/c", "", "a b", "\u{e9}"]);
    let text = move || proptest::option::of(word().prop_map(|word| Value::str(word.as_bytes())));
    let words =
        proptest::option::of(proptest::collection::vec(word(), 0..3).prop_map(|words| {
            Value::List(words.into_iter().map(|word| Value::str(word.as_bytes())).collect())
        }));
    let ip = || proptest::sample::select(vec!["10.0.0.1", "10.2.3.4", "::1", "1.1.1.1"]);
    let ips = proptest::option::of(proptest::collection::vec(ip(), 0..3).prop_map(|ips| {
        Value::List(ips.into_iter().map(|ip| Value::Ip(ip.parse().expect("an address"))).collect())
    }));
    let ty =
        proptest::sample::select(vec![EventType::Open, EventType::Openat, EventType::Execve, EventType::Bpf]);
    let number = || proptest::option::of(0..4i64);
    (
        ty,
        (text(), text(), text(), text()),
        words,
        ips,
        (number(), number(), number(), number()),
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(ty, texts, names, ips, numbers, read)| {
            let values = [
                ("proc.name", texts.0),
                ("fd.name", texts.1),
                ("proc.exepath", texts.2),
                ("proc.pname", texts.3),
                ("proc.aname", names),
                ("fd.ip", ips),
                ("fd.num", numbers.0.map(Value::Int)),
                ("proc.pid", numbers.1.map(Value::Int)),
                ("fd.sport", numbers.2.map(|number| Value::Port(number as u16))),
                ("proc.duration", numbers.3.map(|number| Value::RelTime(number as u64))),
                ("evt.is_open_read", read.map(Value::Bool)),
            ];
            let present = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
            present.fold(Event::new(ty), |event, (name, value)| event.with(name, value))
        })
}

/// The condition with each list of values in the place of a list's name, and the lists.
fn with_lists(condition: &str, lists: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut rest = condition;
    let begins = ["in (", "intersects (", "pmatch (", "oneof (", "anyof (", "allof ("];
    while let Some((at, begin)) =
        begins.iter().filter_map(|begin| Some((rest.find(&format!(" {begin}"))?, *begin))).min()
    {
        let (before, after) = rest.split_at(at + 1 + begin.len());
        let end = after.find(')').expect("a list ends");
        out += &format!("{before}l{}", lists.len());
        // Quotes are part of the text that takes the name's place.
        let items = after[..end]
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| format!("'{item}'"));
        lists.push(items.collect::<Vec<_>>().join(", "));
        rest = &after[end..];
    }
    out + rest
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_condition_parses_to_itself(condition in condition()) {
        let printed = condition.to_string();
        prop_assert_eq!(parser::parse(&printed), Ok(condition), "{}", printed);
    }

    #[test]
    fn parsing_never_fails_otherwise_than_with_an_error(text in "[ -~\n]{0,60}") {
        let _ = parser::parse(&text);
        let _ = load_text(&text);
        let _ = load_text(&rule_with(&text.replace('\n', " ")));
    }

    #[test]
    fn compiled_rules_match_what_the_language_says(
        // Many rules are indexed, few are not.
        conditions in prop_oneof![
            7 => proptest::collection::vec(small_condition(), 1..5),
            1 => proptest::collection::vec(small_condition(), 32..100),
        ],
        events in proptest::collection::vec(event(), 1..6),
    ) {
        let text: String = (conditions.iter().enumerate())
            .map(|(number, condition)| rule_with(condition).replace("rule: r", &format!("rule: r{number}")))
            .collect();
        let set = rules(&text);
        let mut scratch = crate::rules::Scratch::default();
        for event in &events {
            let mut compiled = Vec::new();
            set.evaluate(event, &mut scratch, |rule| compiled.push(rule.id));
            let plain: Vec<usize> = (set.rules().iter())
                .filter(|rule| set.expressions().holds(rule.condition, event))
                .map(|rule| rule.id)
                .collect();
            prop_assert_eq!(&compiled, &plain, "{:#?}\n{:?}", conditions, event);
            for rule in set.rules().iter().filter(|rule| compiled.contains(&rule.id)) {
                prop_assert!(rule.event_types.contains(&event.ty.expect("typed")), "{}", rule.condition_text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Macros and lists mean what they stand for: the same rule written out matches the same events.
    #[test]
    fn macros_and_lists_mean_what_they_stand_for(
        parts in proptest::collection::vec((small_condition(), any::<bool>(), any::<bool>()), 1..5),
        events in proptest::collection::vec(event(), 1..6),
    ) {
        let mut lists = Vec::new();
        let mut macros = String::new();
        let mut written_out = String::new();
        for (number, (condition, negated, both)) in parts.iter().enumerate() {
            let named = with_lists(condition, &mut lists);
            let (not, word) = (if *negated { "not " } else { "" }, if *both { "and" } else { "or" });
            let (mut body, mut full) = (format!("{not}({named})"), format!("{not}({condition})"));
            if let Some(below) = number.checked_sub(1) {
                body = format!("{body} {word} m{below}");
                full = format!("{full} {word} ({written_out})");
            }
            macros += &format!("- macro: m{number}\n  condition: {body}\n");
            written_out = full;
        }
        let lists: String = (lists.iter().enumerate())
            .map(|(number, items)| format!("- list: l{number}\n  items: [{items}]\n"))
            .collect();
        let by_name = format!("{lists}{macros}{}", rule_with(&format!("m{}", parts.len() - 1)));
        let (by_name, plain) = (rules(&by_name), rules(&rule_with(&written_out)));
        for event in &events {
            prop_assert_eq!(matches(&by_name, event), matches(&plain, event), "{}\n{:?}", written_out, event);
        }
    }
}

#[test]
fn deep_nesting_is_an_error_or_works_but_never_overflows() {
    let nested = |depth: usize| format!("{}proc.name = a{}", "(".repeat(depth), ")".repeat(depth));
    // Each level is a node of the tree.
    let tower = |depth: usize| {
        let open: String =
            (0..depth).map(|n| if n % 2 == 0 { "not (fd.num = 1 and " } else { "(fd.num = 2 or " }).collect();
        format!("{open}proc.name = a{}", ")".repeat(depth))
    };
    let event = Event::new(EventType::Open).text("proc.name", "a");
    assert_eq!(matches(&rules(&rule_with(&nested(1000))), &event).len(), 1);
    assert!(load_text(&rule_with(&nested(1001))).rules.is_none());
    assert!(load_text(&rule_with(&nested(1_000_000))).rules.is_none());
    let set = rules(&rule_with(&tower(990)));
    assert_eq!(!matches(&set, &event).is_empty(), set.expressions().holds(set.rules()[0].condition, &event));
    assert!(load_text(&rule_with(&tower(1100))).rules.is_none());
    let calls = |depth: usize| format!("{}proc.name{} = a", "tolower(".repeat(depth), ")".repeat(depth));
    assert!(load_text(&rule_with(&calls(30))).rules.is_some());
    assert!(load_text(&rule_with(&calls(100_000))).rules.is_none());
    let set = rules(&rule_with(&format!("{}proc.name = a", "not ".repeat(100_000))));
    assert_eq!(matches(&set, &event), ["r"]);
}

#[test]
fn macros_cannot_nest_without_bound() {
    let mut text = String::from("- macro: m0\n  condition: proc.name = a\n");
    for level in 1..3000 {
        text += &format!("- macro: m{level}\n  condition: not (fd.num = {level} and m{})\n", level - 1);
    }
    let load = load_text(&format!("{text}{}", rule_with("m2999")));
    assert!(load.diagnostics.iter().any(|found| found.message.contains("nested more than")));
    assert!(load.rules.is_none());
}

#[test]
fn macros_that_double_at_each_level_stay_small() {
    let mut text = String::from("- macro: m0\n  condition: proc.name = a\n");
    for level in 1..60 {
        let below = level - 1;
        text += &format!(
            "- macro: m{level}\n  condition: (m{below} or fd.num = {level}) and (m{below} or fd.num = 1)\n"
        );
    }
    let set = rules(&format!("{text}{}", rule_with("m59")));
    let event = Event::new(EventType::Open).text("proc.name", "b").with("fd.num", Value::Int(2));
    assert_eq!(matches(&set, &event), Vec::<String>::new());
    assert_eq!(matches(&set, &event.with("fd.num", Value::Int(1))), ["r"]);
}

#[test]
fn lists_that_double_at_each_level_are_bounded() {
    // Of nothing there is twice nothing; of something there soon is too much.
    for (first, loads) in [("[a]", false), ("[]", true)] {
        let mut text = format!("- list: l0\n  items: {first}\n");
        for level in 1..31 {
            text += &format!("- list: l{level}\n  items: [l{0}, l{0}]\n", level - 1);
        }
        let load = load_text(&format!("{text}{}", rule_with("proc.name in (l30)")));
        assert_eq!(load.rules.is_some(), loads, "{first}");
    }
}

#[test]
fn large_lists_work() {
    let items: Vec<String> = (0..100_000).map(|number| format!("name-{number}")).collect();
    let text = format!("- list: l\n  items: [{}]\n{}", items.join(", "), rule_with("proc.name in (l)"));
    let set = rules(&text);
    let event = Event::new(EventType::Open);
    assert_eq!(matches(&set, &event.clone().text("proc.name", "name-99999")), ["r"]);
    assert_eq!(matches(&set, &event.text("proc.name", "name-x")), Vec::<String>::new());
}

#[test]
fn hostile_yaml_is_refused() {
    let bomb: String = (1..40).map(|n| format!("- &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
    let rows = [
        format!("- &a0 [x, x, x]\n{bomb}"),
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "- a: &x [*x]\n".to_owned(),
        "{a: ".repeat(10_000),
        "\u{0}".to_owned(),
        "- \t x".to_owned(),
        "- a: b\n c: d\n  e".to_owned(),
    ];
    for text in rows {
        let load = load_text(&text);
        assert!(load.rules.is_none(), "{:.40}", text);
        assert!(!load.diagnostics.is_empty());
    }
}

#[test]
fn values_need_not_be_utf_8() {
    let set =
        rules(&rule_with("proc.name startswith a and proc.name endswith b and proc.name contains \"\""));
    let event = Event::new(EventType::Open).with("proc.name", Value::Str(Cow::Borrowed(b"a\xff\xfeb")));
    assert_eq!(matches(&set, &event), ["r"]);
}
