//! Files for an actor to work on, and the names that tests use in place of values.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A folder with, in it: `file` (5 bytes), `link` → `file`, `sub/file`, `dirlink` → `sub`, `empty/`, `dangling`
/// → nowhere, `name\xff` (a file whose name is not UTF-8), `bin/` for programs.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    values: BTreeMap<String, String>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

impl Scratch {
    pub fn new() -> Scratch {
        // Not /tmp: it may be a file system of its own, and links to files elsewhere are among the tests.
        let dir = tempfile::Builder::new().prefix("yagura-").tempdir_in("/var/tmp").expect("a folder");
        let path = dir.path();
        for folder in ["sub", "empty", "bin"] {
            fs::create_dir(path.join(folder)).expect("a folder");
        }
        for file in ["file", "sub/file"] {
            fs::write(path.join(file), "hello").expect("a file");
        }
        fs::write(path.join(OsStr::from_bytes(b"name\xff")), "not text").expect("a file");
        symlink("file", path.join("link")).expect("a link");
        symlink("sub", path.join("dirlink")).expect("a link");
        symlink("nowhere", path.join("dangling")).expect("a link");
        symlink(crate::actor(), path.join("bin/actor")).expect("a link");
        let mut scratch = Scratch { values: BTreeMap::new(), dir };
        scratch.set("dir", scratch.path().to_str().expect("text").to_owned());
        scratch.set("actor", crate::actor().to_str().expect("text").to_owned());
        scratch
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives a name a value, for [`Scratch::expand`].
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.insert(name.to_owned(), value.into());
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The path of a symbolic link to the actor under the name of another program.
    pub fn program(&self, name: &str) -> PathBuf {
        let path = self.path().join("bin").join(name);
        if !path.exists() {
            symlink(crate::actor(), &path).expect("a link");
        }
        path
    }

    /// Puts values in place of `{name}`; `{bin:NAME}` is the actor under another name.
    pub fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or_else(|| panic!("no }} in {text}"));
            out.push_str(before);
            match name.strip_prefix("bin:") {
                Some(program) => out.push_str(self.program(program).to_str().expect("text")),
                None => {
                    out.push_str(self.get(name).unwrap_or_else(|| panic!("what is {{{name}}} in {text}?")))
                }
            }
            rest = after;
        }
        out + rest
    }
}
