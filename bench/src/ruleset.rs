//! Rule sets of a given size: real rules, and as many generated ones as are missing.
//!
//! The generated ones are the same in every run. Their shapes are those of real rules: which system calls, a
//! path, a program or an address, and an exception or two; each names things of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use yagura::{
    app::RuleSources,
    rules::{LoadOptions, RuleSet, SourceFile},
};

const OPEN: &str = "evt.type in (open, openat, openat2)";
const SPAWNED: &str = "evt.type in (execve, execveat)";
const CHANGED: &str = "evt.type in (rename, renameat, renameat2, unlink, unlinkat)";
const SHELLS: &str = "(ash, bash, csh, ksh, sh, tcsh, zsh, dash)";

/// Files of the real rules: what was asked for, else Falco's stable ones if they are at hand beside the
/// repository, else our own.
pub fn base(paths: &[PathBuf]) -> Vec<PathBuf> {
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/falco/rules/falco_rules.yaml");
    if paths.is_empty() && stock.is_file() { vec![stock] } else { paths.to_vec() }
}

/// A name for what [`base`] returned.
pub fn name(base: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    if base.is_empty() {
        "embedded rules".into()
    } else {
        base.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

/// Rules of `base` and generated ones: `count` enabled ones, or those of `base` if they are more.
pub fn load(base: &[PathBuf], count: usize) -> Result<RuleSet> {
    let mut files = RuleSources::choose(base.to_vec(), &[]).read()?;
    let have = enabled(&parse(&files)?);
    let text: String = (0..count.saturating_sub(have)).map(generated).collect();
    if !text.is_empty() {
        files.push(SourceFile { name: "generated.yaml".into(), text });
    }
    parse(&files)
}

pub fn enabled(set: &RuleSet) -> usize {
    set.rules().iter().filter(|rule| rule.enabled).count()
}

fn parse(files: &[SourceFile]) -> Result<RuleSet> {
    yagura::rules::load(files, &LoadOptions::default()).rules.context("the rules do not load")
}

fn generated(n: usize) -> String {
    let read = format!("{OPEN} and evt.is_open_read = true and fd.typechar = 'f' and fd.num >= 0");
    let written = format!("{OPEN} and evt.is_open_write = true and fd.typechar = 'f' and fd.num >= 0");
    let condition = match n % 13 {
        0 => format!(
            "{read} and fd.name startswith /srv/app{n}/secrets/ and not proc.name in (app{n}, init{n})"
        ),
        1 => format!("{written} and fd.directory = /etc/service{n}"),
        2 => format!("{SPAWNED} and proc.name = tool{n} and not proc.pname in (runner{n}, cron)"),
        3 => format!("{SPAWNED} and container.id != host and proc.cmdline contains \"--flag{n}\""),
        4 => format!("{read} and fd.name in (/etc/app{n}/key, /etc/app{n}/token) and not proc.name = app{n}"),
        5 => format!("evt.type = connect and fd.sport = {} and proc.name != app{n}", 10_000 + n),
        6 => format!("{CHANGED} and fs.path.name startswith /var/lib/db{n}/ and proc.name != db{n}"),
        7 => format!("{SPAWNED} and proc.exepath startswith /opt/agent{n}/ and proc.args contains run{n}"),
        8 => format!("{written} and container.id != host and fd.name endswith .ext{n}"),
        9 => format!("{SPAWNED} and proc.name in {SHELLS} and proc.pname in (web{n}, server{n})"),
        10 => {
            format!("evt.type = connect and fd.sip = \"10.{}.{}.9\" and fd.l4proto = tcp", n / 250, n % 250)
        }
        11 => format!("{read} and fd.name glob \"/home/*/.app{n}/*\" and not proc.pname = session{n}"),
        _ => format!("evt.type in (accept, accept4) and fd.sport = {} and proc.name != app{n}", 20_000 + n),
    };
    format!(
        "- rule: Generated {n}\n  desc: shape {}\n  condition: >\n    {condition}\n  \
         output: generated %proc.name %fd.name\n  priority: NOTICE\n",
        n % 13
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_size_that_was_asked_for() {
        let own = enabled(&load(&[], 0).unwrap());
        for count in [own + 1, own + 13, 1000] {
            assert_eq!(enabled(&load(&[], count).unwrap()), count);
        }
        assert_eq!(generated(5), generated(5));
    }
}
