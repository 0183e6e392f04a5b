//! A test as data: what an actor does, and what fields its events must have.
//!
//! ```text
//! Case { does: "openat path=link dirfd={dir}", sees: &[("openat", &[("fd.name", "{dir}/file"), ("fd.num", "{ret}")])] }
//! ```
//! `{…}` is a value of the scratch folder ([`crate::scratch`]) or of the truth that the actor printed. An
//! event is the last of its type by the thread that the truth calls `tid`; `connect@child` is that of the
//! thread that the truth calls `child`. An expected value is the field's text, or `(absent)`, or begins with
//! `~` (contains), `!` (is there and is another), `>=` or `<=` (numbers).

use std::fmt::Write;

use exporter_common::event_type::EventType;

use crate::{
    live::{Ask, Live, Observed},
    scratch::Scratch,
    text::ABSENT,
};

/// Fields of one event: name and expected value.
pub type Fields<'a> = &'a [(&'a str, &'a str)];

/// One run of an actor and what must be seen.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub does: &'a str,
    /// Events, each as `TYPE` or `TYPE@KEY`, and their fields.
    pub sees: &'a [(&'a str, Fields<'a>)],
}

/// Runs the cases, each in a scratch folder that `prepare` may add to, and panics with everything that was
/// not as expected.
pub fn check_all(cases: &[Case<'_>], prepare: impl Fn(&mut Scratch)) {
    if !crate::kernel_tests_run() {
        return;
    }
    let mut live = Live::lock();
    let mut failures = String::new();
    for case in cases {
        if let Some(call) = missing(case.does) {
            crate::skipped(&format!("this kernel has no {call}: {}", case.does));
            continue;
        }
        let mut scratch = Scratch::new();
        prepare(&mut scratch);
        check(&mut live, case, scratch, &mut failures);
    }
    assert!(failures.is_empty(), "{failures}");
}

/// A system call that a case needs and this kernel does not have, because it came later than our oldest kernel.
fn missing(does: &str) -> Option<&'static str> {
    const NEWER: &[(&str, libc::c_long)] = &[("fchmodat2", libc::SYS_fchmodat2)];
    let (call, number) = NEWER.iter().find(|(call, _)| does.split(' ').any(|word| word == *call))?;
    // SAFETY: a path that is null is an error for every kernel that knows the call, and touches no memory.
    let result = unsafe { libc::syscall(*number, -1, std::ptr::null::<u8>(), 0, 0) };
    let unknown = std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS);
    (result == -1 && unknown).then_some(call)
}

/// The event type that a selector names.
pub fn type_of(selector: &str) -> EventType {
    let name = selector.split('@').next().expect("a first part");
    EventType::from_name(name).unwrap_or_else(|| panic!("no event type {name}"))
}

fn check(live: &mut Live, case: &Case<'_>, mut scratch: Scratch, failures: &mut String) {
    let ask = Ask {
        types: case.sees.iter().map(|(selector, _)| type_of(selector)).collect(),
        fields: case.sees.iter().flat_map(|(_, fields)| fields.iter().map(|(name, _)| *name)).collect(),
        ..Ask::default()
    };
    let observed = live.run(case.does, &scratch, &ask);
    for (key, value) in &observed.truth {
        scratch.set(key, value.clone());
    }
    let mut wrong = String::new();
    for (selector, fields) in case.sees {
        compare(selector, fields, &observed, &scratch, &mut wrong);
    }
    if !wrong.is_empty() {
        let _infallible =
            writeln!(failures, "actor {}:\n{wrong}{}{}\n", case.does, observed.summary(), live.counts(&ask));
    }
}

fn compare(selector: &str, fields: Fields<'_>, observed: &Observed, scratch: &Scratch, wrong: &mut String) {
    let key = selector.split_once('@').map_or("tid", |(_, key)| key);
    let tid = u32::try_from(observed.number(key)).expect("a thread id");
    let Some(event) = observed.last(type_of(selector), tid) else {
        let _infallible = writeln!(wrong, "  no {selector} of thread {tid}");
        return;
    };
    for (name, expected) in fields {
        let expected = scratch.expand(expected);
        let actual = event.fields.get(*name).map_or(ABSENT, String::as_str);
        if !agrees(actual, &expected) {
            let _infallible =
                writeln!(wrong, "  {selector} {name}\n    is       {actual}\n    expected {expected}");
        }
    }
}

fn agrees(actual: &str, expected: &str) -> bool {
    let number = |text: &str| text.parse::<i128>().ok();
    if let Some(part) = expected.strip_prefix('~') {
        actual != ABSENT && actual.contains(part)
    } else if let Some(other) = expected.strip_prefix('!') {
        actual != ABSENT && actual != other
    } else if let Some(bound) = expected.strip_prefix(">=") {
        number(actual).zip(number(bound)).is_some_and(|(actual, bound)| actual >= bound)
    } else if let Some(bound) = expected.strip_prefix("<=") {
        number(actual).zip(number(bound)).is_some_and(|(actual, bound)| actual <= bound)
    } else {
        actual == expected
    }
}
