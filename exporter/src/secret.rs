//! A value that is in no log: from a file, from the environment, or (if it is none) from the configuration.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

/// Longest value that is read from a file.
const MAX_BYTES: u64 = 64 << 10;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Literal(String),
    File(PathBuf),
    /// The name of an environment variable.
    Environment(String),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Literal(_) => f.write_str("Literal(..)"),
            Secret::File(path) => f.debug_tuple("File").field(path).finish(),
            Secret::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
        }
    }
}

/// Where it comes from.
impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Literal(_) => f.write_str("the configuration"),
            Secret::File(path) => path.display().fmt(f),
            Secret::Environment(name) => f.write_str(name),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("environment variable {0} is not set")]
    Environment(String),
}

impl Secret {
    /// Its value now: files are replaced while the daemon runs.
    pub fn read(&self) -> Result<String, SecretError> {
        match self {
            Secret::Literal(value) => Ok(value.clone()),
            Secret::Environment(name) => {
                std::env::var(name).map_err(|_| SecretError::Environment(name.clone()))
            }
            Secret::File(path) => {
                let mut value = String::new();
                File::open(path)
                    .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut value))
                    .map_err(|source| SecretError::File { path: path.clone(), source })?;
                Ok(value.trim().to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_in_no_log() {
        let secret = Secret::Literal("hunter2".into());
        assert!(!format!("{secret:?}").contains("hunter2"));
        let missing = Secret::File("/nonexistent/token".into()).read().unwrap_err().to_string();
        assert!(missing.contains("/nonexistent/token"), "{missing}");
    }
}
