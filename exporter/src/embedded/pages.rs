//! `docs/rules/`: a page for reading and one for searching, made from the rules. `make docs` writes them; the tests fail
//! when they are out of date.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use super::tests::{is_technique, repository, rules, techniques};
use crate::rules::Rule;

/// What a page says of a rule.
struct Entry<'r> {
    rule: &'r Rule,
    meaning: &'r str,
    remedy: &'r str,
    techniques: Vec<&'r str>,
    hook: Option<&'r str>,
}

fn entry(rule: &Rule) -> Entry<'_> {
    let (meaning, remedy) = rule.description.split_once("What to do: ").expect("what to do");
    let techniques = rule.tags.iter().map(String::as_str).filter(|tag| is_technique(tag)).collect();
    let mut hook = rule.condition_text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let hook = hook.rfind(|word| word.starts_with("expected_"));
    Entry { rule, meaning: meaning.trim(), remedy: remedy.trim(), techniques, hook }
}

impl Entry<'_> {
    /// The first sentence.
    fn summary(&self) -> &str {
        self.meaning.split_inclusive(". ").next().unwrap_or(self.meaning).trim()
    }

    fn events(&self) -> String {
        if self.rule.event_types.is_empty() {
            return self.rule.source.name().to_owned();
        }
        self.rule.event_types.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(", ")
    }

    fn theme(&self) -> &str {
        let file = self.rule.file.rsplit('/').next().unwrap_or_default();
        file.trim_end_matches(".yaml").trim_start_matches(|c: char| c.is_ascii_digit() || c == '-')
    }

    /// The anchor that GitHub and GitLab make of a heading.
    fn anchor(&self) -> String {
        let kept = self.rule.name.to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    }
}

/// Where a technique is described.
fn link(id: &str) -> String {
    format!("https://attack.mitre.org/techniques/{}/", id.replace('.', "/"))
}

fn check(name: &str, wanted: &str) {
    let path: PathBuf = repository().join("docs/rules").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, wanted).expect(name);
    } else {
        let page = fs::read_to_string(&path).unwrap_or_default();
        assert!(page == wanted, "docs/rules/{name} is not up to date: run `make docs`");
    }
}

#[test]
fn docs_the_page_for_reading() {
    let (rules, attack) = (rules(), techniques());
    let entries: Vec<Entry<'_>> = rules.rules().iter().map(entry).collect();
    let mut page = format!(
        "# Rules\n\n<!-- Made by `make docs` from rules/. -->\n\n\
         The {} rules that Yagura brings. They are in the binary and are loaded if you name no others; the files are in\n\
         [rules/](../../rules/README.md). [index.html](index.html) is the same table with a search field, to be opened in a \
         browser.\n\n\
         Every rule has a macro named `expected_…` that is false: replace it from a file of your own to say what is\n\
         expected on your machines ([writing rules](../writing-rules.md)). Techniques are those of MITRE ATT&CK 18.1.\n\n\
         | rule | priority | events | techniques | what it means |\n| --- | --- | --- | --- | --- |\n",
        entries.len()
    );
    let links = |entry: &Entry<'_>| -> String {
        entry.techniques.iter().map(|id| format!("[{id}]({})", link(id))).collect::<Vec<_>>().join(", ")
    };
    for entry in &entries {
        let (name, anchor, summary) = (&entry.rule.name, entry.anchor(), entry.summary());
        let priority = entry.rule.priority.name();
        writeln!(
            page,
            "| [{name}](#{anchor}) | {priority} | {} | {} | {summary} |",
            entry.events(),
            links(entry)
        )
        .expect("text");
    }
    let mut theme = "";
    for entry in &entries {
        if entry.theme() != theme {
            theme = entry.theme();
            writeln!(page, "\n## Theme: {theme}").expect("text");
        }
        let named = entry.techniques.iter().filter_map(|id| {
            let (name, _) = attack.get(id)?;
            Some(format!("[{id} {name}]({})", link(id)))
        });
        let named: Vec<_> = named.collect();
        write!(
            page,
            "\n### {}\n\n{}\n\n**What to do:** {}\n\n- priority {}, events {}, in `{}`\n- {}\n",
            entry.rule.name,
            entry.meaning,
            entry.remedy,
            entry.rule.priority.name(),
            entry.events(),
            entry.rule.file,
            named.join(", "),
        )
        .expect("text");
        if let Some(hook) = entry.hook {
            writeln!(page, "- tuning: `{hook}`").expect("text");
        }
        writeln!(page, "\n```\n{}\n```", entry.rule.condition_text.trim()).expect("text");
    }
    let anchors: BTreeSet<String> = entries.iter().map(Entry::anchor).collect();
    assert_eq!(anchors.len(), entries.len(), "an anchor leads to one rule");
    check("README.md", &page);
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Yagura: rules</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1b1b1b; background: #fff; }
label, input { font: inherit; }
input { width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid #767676; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; margin-top: 1rem; }
th, td { text-align: left; vertical-align: top; padding: .5rem; border-bottom: 1px solid #ccc; }
code, pre { font: 13px/1.4 ui-monospace, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #1b1b1b; } a { color: #8ab4ff; } th, td { border-color: #444; } }
</style>
</head>
<body>
<h1>Rules</h1>
<p><label for="query">Search: name, event, technique, field, or any word</label>
<input id="query" type="search" autocomplete="off"></p>
<p id="count" role="status" aria-live="polite"></p>
<table>
<thead><tr><th scope="col">Rule</th><th scope="col">Priority</th><th scope="col">Theme</th><th scope="col">Events</th><th scope="col">Techniques</th></tr></thead>
<tbody>
"#;

const TAIL: &str = r#"</tbody>
</table>
<script>
const rows = [...document.querySelectorAll('tbody tr')];
const texts = rows.map(row => row.textContent.toLowerCase());
const query = document.getElementById('query');
const count = document.getElementById('count');
function filter() {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  rows.forEach((row, at) => {
    const fits = words.every(word => texts[at].includes(word));
    row.hidden = !fits;
    if (fits) shown += 1;
  });
  count.textContent = shown + ' of ' + rows.length + ' rules';
}
query.addEventListener('input', filter);
filter();
</script>
</body>
</html>
"#;

#[test]
fn docs_the_page_for_searching() {
    let (rules, attack) = (rules(), techniques());
    let mut page = HEAD.to_owned();
    for entry in rules.rules().iter().map(entry) {
        let techniques: Vec<String> = entry
            .techniques
            .iter()
            .filter_map(|id| {
                let (name, _) = attack.get(id)?;
                Some(format!("<a href=\"{}\">{id}</a> {}", link(id), escaped(name)))
            })
            .collect();
        writeln!(
            page,
            "<tr><td><details><summary>{}</summary><p>{}</p><p><b>What to do:</b> {}</p>{}<pre>{}</pre></details></td>\
             <td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&entry.rule.name),
            escaped(entry.meaning),
            escaped(entry.remedy),
            entry.hook.map(|hook| format!("<p>Tuning: <code>{hook}</code></p>")).unwrap_or_default(),
            escaped(entry.rule.condition_text.trim()),
            escaped(entry.rule.priority.name()),
            escaped(entry.theme()),
            escaped(&entry.events()),
            techniques.join("<br>"),
        )
        .expect("text");
    }
    page.push_str(TAIL);
    check("index.html", &page);
}
