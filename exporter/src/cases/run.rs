//! Evaluating cases.

use super::{
    case::{Case, RuleName},
    explain::why_not,
    parse::diagnostic,
    report::{Failure, Missing, OutputDifference, Report},
};
use crate::{
    rules::{Diagnostic, Rendered, RuleSet, Scratch, SourceFile},
    suggest::nearest,
};

/// Evaluates every case and compares. Load the rules with `rule_matching: all`, or a rule hides the ones
/// after it.
pub fn run(cases: &[Case], rules: &RuleSet) -> Report {
    let mut scratch = Scratch::default();
    let mut report = Report { cases: cases.len(), failures: Vec::new() };
    for case in cases {
        let mut fired: Vec<(String, Rendered)> = Vec::new();
        rules.evaluate(&case.subject, &mut scratch, |rule| {
            fired.push((rule.name.clone(), rule.output.render(&case.subject)));
        });
        report.failures.extend(compare(case, rules, &fired));
    }
    report
}

fn compare(case: &Case, rules: &RuleSet, fired: &[(String, Rendered)]) -> Option<Failure> {
    let did_fire = |name: &str| fired.iter().any(|(rule, _)| rule == name);
    let demanded = |name: &str| case.expected.rules.iter().any(|rule| rule.name == name);
    let missing: Vec<Missing> = case
        .expected
        .rules
        .iter()
        .filter(|rule| !did_fire(&rule.name))
        .map(|rule| missing(case, rules, &rule.name))
        .collect();
    let unexpected: Vec<String> =
        fired.iter().filter(|(name, _)| !demanded(name)).map(|(name, _)| name.clone()).collect();
    let output = differences(case, fired);
    if missing.is_empty() && unexpected.is_empty() && output.is_empty() {
        return None;
    }
    Some(Failure {
        name: case.name.clone(),
        file: case.file.clone(),
        line: case.line,
        column: case.column,
        missing,
        unexpected,
        output,
    })
}

fn missing(case: &Case, rules: &RuleSet, name: &str) -> Missing {
    let known = rules.rules().iter().find(|rule| rule.name == name);
    Missing {
        rule: name.to_owned(),
        disabled: known.is_some_and(|rule| !rule.enabled),
        decided_by: known.map(|rule| why_not(rules, rule, &case.subject)).unwrap_or_default(),
    }
}

/// Where the output of a rule that fired is not what the case says.
fn differences(case: &Case, fired: &[(String, Rendered)]) -> Vec<OutputDifference> {
    let mut differences = Vec::new();
    let mut differs = |rule: &str, field: Option<&str>, expected: String, found: String| {
        if expected != found {
            let (rule, field) = (rule.to_owned(), field.map(str::to_owned));
            differences.push(OutputDifference { rule, field, expected, found });
        }
    };
    for (rule, text) in &case.expected.output {
        if let Some((_, rendered)) = fired.iter().find(|(name, _)| *name == rule.name) {
            differs(&rule.name, None, text.clone(), rendered.text.clone());
        }
    }
    for (name, rendered) in fired {
        for (field, expected) in &case.expected.output_fields {
            let found = rendered.fields.iter().find(|(known, _)| known == field);
            let found =
                found.map_or_else(|| "(not in the output)".to_owned(), |(_, value)| value.to_string());
            differs(name, Some(field), expected.to_string(), found);
        }
    }
    differences
}

/// Names of rules that the cases demand and the rule set does not have: a case with such a name could only
/// fail, and for a reason that is easily overlooked.
pub fn check_names(file: &SourceFile, cases: &[Case], rules: &RuleSet) -> Vec<Diagnostic> {
    let unknown = |rule: &&RuleName| !rules.rules().iter().any(|known| known.name == rule.name);
    let mut problems = Vec::new();
    for rule in cases.iter().flat_map(|case| &case.expected.rules).filter(unknown) {
        let message = format!("no rule is called '{}'", rule.name);
        let width = rule.name.chars().count();
        let mut problem = diagnostic(file, rule.line, rule.column, width, message);
        problem.suggestion =
            nearest(&rule.name, rules.rules().iter().map(|known| known.name.as_str())).map(str::to_owned);
        problems.push(problem);
    }
    problems
}
