//! Where rules come from: files and folders, or the binary itself.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::{
    config::Config,
    embedded,
    rules::{LoadOptions, RuleMatching, SourceFile},
};

/// Larger files are not rules.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Why rule files could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{}: cannot read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: not UTF-8 (byte {offset})", path.display())]
    NotText { path: PathBuf, offset: usize },
    #[error("{}: {bytes} bytes; rule files have at most {MAX_FILE_BYTES}", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{}: no rule files (*.yaml, *.yml) in this folder", path.display())]
    Empty { path: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSources {
    /// Our own, in the binary.
    Embedded,
    /// Files, and folders whose `*.yaml` and `*.yml` are read in name order; in the order given.
    Paths(Vec<PathBuf>),
}

impl RuleSources {
    /// `--rules` wins over the configuration, which wins over the embedded rules.
    pub fn choose(flags: Vec<PathBuf>, configured: &[PathBuf]) -> RuleSources {
        match (flags.is_empty(), configured.is_empty()) {
            (false, _) => RuleSources::Paths(flags),
            (true, false) => RuleSources::Paths(configured.to_vec()),
            (true, true) => RuleSources::Embedded,
        }
    }

    /// How they are loaded. Ours are in an order to be read in; files that people bring may count on Falco's.
    pub fn load_options(&self, config: &Config) -> LoadOptions {
        let usual = match self {
            RuleSources::Embedded => RuleMatching::MostSevere,
            RuleSources::Paths(_) => RuleMatching::First,
        };
        LoadOptions {
            rule_matching: config.rule_matching.unwrap_or(usual),
            priority: config.priority,
            selection: config.rules.clone(),
        }
    }

    /// The paths to watch for changes.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            RuleSources::Embedded => &[],
            RuleSources::Paths(paths) => paths,
        }
    }

    pub fn read(&self) -> Result<Vec<SourceFile>, SourceError> {
        let RuleSources::Paths(paths) = self else {
            let file =
                |(name, text): &(&str, &str)| SourceFile { name: (*name).into(), text: (*text).into() };
            return Ok(embedded::RULES.iter().map(file).collect());
        };
        let mut files = Vec::new();
        for path in paths {
            let metadata = fs::metadata(path).map_err(|source| read_error(path, source))?;
            if metadata.is_dir() {
                for file in folder(path)? {
                    files.push(read_file(&file)?);
                }
            } else {
                files.push(read_file(path)?);
            }
        }
        Ok(files)
    }
}

fn read_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read { path: path.to_owned(), source }
}

/// The rule files of a folder in name order. Hidden entries are not: a Kubernetes ConfigMap keeps its
/// versions in `..2026_01_01_…` behind `..data`.
fn folder(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let entries = fs::read_dir(path).map_err(|source| read_error(path, source))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|source| read_error(path, source))?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let rules = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if rules && !hidden && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(SourceError::Empty { path: path.to_owned() });
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<SourceFile, SourceError> {
    let metadata = fs::metadata(path).map_err(|source| read_error(path, source))?;
    let too_large = |bytes| SourceError::TooLarge { path: path.to_owned(), bytes };
    if metadata.len() > MAX_FILE_BYTES {
        return Err(too_large(metadata.len()));
    }
    // A pipe or a device has no size, and may have no end.
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|source| read_error(path, source))?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|source| read_error(path, source))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    let text = String::from_utf8(bytes).map_err(|error| SourceError::NotText {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })?;
    Ok(SourceFile { name: path.display().to_string(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &RuleSources) -> Result<Vec<String>, String> {
        let files = sources.read().map_err(|error| error.to_string())?;
        Ok(files.iter().map(|f| f.name.rsplit('/').next().unwrap_or_default().to_owned()).collect())
    }

    #[test]
    fn folders_are_read_in_name_order_without_what_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "c.txt", ".hidden.yaml", "z.yaml"] {
            fs::write(dir.path().join(name), "[]").unwrap();
        }
        fs::create_dir(dir.path().join("cases.yaml")).unwrap();
        let file = dir.path().join("c.txt");
        let sources = RuleSources::Paths(vec![file, dir.path().to_owned()]);
        assert_eq!(names(&sources).unwrap(), ["c.txt", "a.yml", "b.yaml", "z.yaml"]);
    }

    #[test]
    fn what_cannot_be_read_has_a_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("latin1.yaml"), b"- list: \xe9").unwrap();
        fs::File::create(path("huge.yaml")).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        fs::create_dir(path("empty")).unwrap();
        for (name, expected) in [
            ("absent.yaml", "absent.yaml: cannot read: No such file or directory"),
            ("latin1.yaml", "latin1.yaml: not UTF-8 (byte 8)"),
            ("huge.yaml", "huge.yaml: 16777217 bytes; rule files have at most 16777216"),
            ("/dev/zero", "/dev/zero: 16777217 bytes; rule files have at most 16777216"),
            ("empty", "empty: no rule files (*.yaml, *.yml) in this folder"),
        ] {
            let error = names(&RuleSources::Paths(vec![path(name)])).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn flags_win_over_configuration_over_embedded() {
        let (flag, configured) = (PathBuf::from("f"), PathBuf::from("c"));
        for (flags, config, expected) in [
            (vec![flag.clone()], vec![configured.clone()], RuleSources::Paths(vec![flag])),
            (vec![], vec![configured.clone()], RuleSources::Paths(vec![configured])),
            (vec![], vec![], RuleSources::Embedded),
        ] {
            assert_eq!(RuleSources::choose(flags, &config), expected);
        }
    }

    #[test]
    fn files_are_matched_in_falcos_order_and_ours_by_severity_unless_it_is_said() {
        let unsaid = Config::default();
        let said = Config { rule_matching: Some(RuleMatching::All), ..Config::default() };
        for (sources, expected) in [
            (RuleSources::Embedded, RuleMatching::MostSevere),
            (RuleSources::Paths(vec!["f".into()]), RuleMatching::First),
        ] {
            assert_eq!(sources.load_options(&unsaid).rule_matching, expected);
            assert_eq!(sources.load_options(&said).rule_matching, RuleMatching::All);
        }
    }
}
