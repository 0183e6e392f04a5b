//! Rules on the running kernel, as rows: what an actor does, and the rules that fire then.

use std::collections::BTreeSet;

use yagura::rules::RuleSet;

use crate::{
    live::{Ask, Live},
    scratch::Scratch,
};

/// What an actor does, and the rules that fire then: all of them, so load with `rule_matching: all`.
#[derive(Debug)]
pub struct Row {
    pub does: &'static str,
    pub fires: &'static [&'static str],
}

/// Performs each row, each in a folder of its own that `prepare` fills, and says where other rules fired than
/// expected. Empty if none did.
pub fn failures(rows: &[Row], rules: &RuleSet, mut prepare: impl FnMut(&mut Scratch)) -> String {
    let mut live = Live::lock();
    let ask = Ask { rules: Some(rules), ..Ask::default() };
    let mut failures = String::new();
    for row in rows {
        let mut scratch = Scratch::new();
        prepare(&mut scratch);
        // First the whole row, since a value may be several words.
        let observed = live.run(&scratch.expand(row.does), &scratch, &ask);
        let matches = || observed.events.iter().flat_map(|event| &event.rules);
        let fired: BTreeSet<&str> = matches().map(|(rule, _)| rule.as_str()).collect();
        let expected: BTreeSet<&str> = row.fires.iter().copied().collect();
        if fired != expected {
            let outputs: Vec<&str> = matches().map(|(_, output)| output.as_str()).collect();
            failures += &format!(
                "actor {}\n  fired    {fired:?}\n  expected {expected:?}\n  {}\n  {}\n",
                row.does,
                outputs.join("\n  "),
                observed.summary()
            );
        }
    }
    failures
}
