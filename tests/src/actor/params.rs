//! Parameters of a behaviour: `key=value` words, values being any bytes, and the words after `--`.

use std::ffi::CString;

use crate::{
    call::{Arg, call},
    constants,
};

/// The words after a behaviour's name.
pub struct Params {
    words: Vec<Vec<u8>>,
}

impl Params {
    pub fn new(words: Vec<Vec<u8>>) -> Params {
        Params { words }
    }

    /// All words, for behaviours that take positional ones.
    pub fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    /// The words after `--`.
    pub fn rest(&self) -> Vec<Vec<u8>> {
        self.words.iter().skip_while(|word| *word != b"--").skip(1).cloned().collect()
    }

    /// The value of a key, if given before `--`.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.words
            .iter()
            .take_while(|word| *word != b"--")
            .find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
    }

    /// Whether a bare word is given before `--`.
    pub fn has(&self, flag: &str) -> bool {
        self.words.iter().take_while(|word| *word != b"--").any(|word| word == flag.as_bytes())
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|value| std::str::from_utf8(value).expect("parameter is text"))
    }

    /// The value as a C string; it must be given.
    pub fn path(&self, key: &str) -> CString {
        self.optional_path(key).unwrap_or_else(|| panic!("actor: {key}= is missing"))
    }

    pub fn optional_path(&self, key: &str) -> Option<CString> {
        self.get(key).map(|value| CString::new(value).expect("no NUL in a parameter"))
    }

    /// A number or names of constants joined by `|`.
    pub fn number(&self, key: &str, default: i64) -> i64 {
        self.text(key).map_or(default, |text| {
            text.split('|')
                .map(|word| constants::value(word).unwrap_or_else(|| panic!("actor: what is {word}?")))
                .fold(0, |sum, value| sum | value)
        })
    }

    /// Opens the folder that `key` names, for calls that take one; `AT_FDCWD` if not given.
    pub fn dirfd(&self, key: &str) -> i64 {
        match self.optional_path(key) {
            None => libc::AT_FDCWD.into(),
            Some(path) => {
                let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
                let fd = call(
                    libc::SYS_openat,
                    [Arg::Int(libc::AT_FDCWD.into()), Arg::Str(&path), Arg::Int(flags.into())],
                );
                assert!(fd >= 0, "actor: {path:?}: {fd}");
                fd
            }
        }
    }
}
