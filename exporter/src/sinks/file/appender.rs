//! One file: opened anew when it was moved away, repaired after a write that failed, rotated when it is full.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::Rotate;

/// Of a new file, and of a folder that had to be made for it.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: not a plain file with one name", .0.display())]
    Kind(PathBuf),
    #[error("a tenant's name that cannot be part of a path: {0:?}")]
    Tenant(String),
}

#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    rotate: Option<Rotate>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Its last byte does not end a line: somebody was torn off in the middle.
    torn: bool,
}

impl Appender {
    pub fn new(path: PathBuf, rotate: Option<Rotate>) -> Appender {
        Appender { path, rotate, open: None }
    }

    /// Appends lines: how many are on disk, and why no more. What is written of the one after them is taken back.
    pub fn append(&mut self, lines: &[Vec<u8>]) -> (usize, Result<(), FileError>) {
        let mut taken = 0;
        loop {
            let rest = lines.get(taken..).unwrap_or_default();
            let (part, result) = self.append_part(rest);
            taken += part;
            if result.is_err() {
                self.open = None;
                return (taken, result);
            }
            if taken == lines.len() {
                return (taken, Ok(()));
            }
        }
    }

    /// The file was moved away, or may have been.
    pub fn reopen(&mut self) -> Result<(), FileError> {
        self.open = None;
        self.current().map(drop)
    }

    /// As many lines as there is room for in the file; none if it was rotated.
    fn append_part(&mut self, lines: &[Vec<u8>]) -> (usize, Result<(), FileError>) {
        let rotate = self.rotate;
        let path = self.path.clone();
        let failed = |what, source| FileError::Io { what, path: path.clone(), source };
        let (open, size) = match self.current() {
            Ok(current) => current,
            Err(error) => return (0, Err(error)),
        };
        let count = rotate.map_or(lines.len(), |rotate| fitting(rotate.max_size, size, lines));
        if count == 0 && !lines.is_empty() {
            return (0, self.rotate());
        }
        let lines = lines.get(..count).unwrap_or(lines);
        if lines.is_empty() {
            return (0, Ok(()));
        }
        let mut bytes = Vec::with_capacity(lines.iter().map(Vec::len).sum::<usize>() + 1);
        if open.torn {
            bytes.push(b'\n');
        }
        // Where each line ends.
        let mut ends = Vec::with_capacity(lines.len());
        for line in lines {
            bytes.extend_from_slice(line);
            ends.push(bytes.len());
        }
        let (written, result) = write_all(&mut open.file, &bytes);
        let whole = ends.iter().take_while(|end| **end <= written).count();
        let kept = whole.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
        if kept < written {
            take_back(&open.file, size, written, kept);
        }
        if whole > 0 {
            open.torn = false;
            if let Err(error) = open.file.sync_data() {
                // What the kernel could not write it may have forgotten.
                take_back(&open.file, size, kept, 0);
                return (0, Err(failed("sync", error)));
            }
        }
        (whole, result.map_err(|error| failed("write to", error)))
    }

    /// The file that is at the path now, and its size.
    fn current(&mut self) -> Result<(&mut Open, u64), FileError> {
        let failed = |what, source| FileError::Io { what, path: self.path.clone(), source };
        let there = fs::symlink_metadata(&self.path).ok();
        let open = match self.open.take() {
            Some(open) => {
                let own = open.file.metadata().map_err(|error| failed("look at", error))?;
                // One that was moved away or removed is not what whoever reads the path will see.
                there.as_ref().is_some_and(|there| same(there, &own)).then_some(open)
            }
            None => None,
        };
        let open = match open {
            Some(open) => open,
            None => self.opened(there.is_none())?,
        };
        let size = open.file.metadata().map_err(|error| failed("look at", error))?.len();
        Ok((self.open.insert(open), size))
    }

    fn opened(&self, is_new: bool) -> Result<Open, FileError> {
        let failed = |what, source| FileError::Io { what, path: self.path.clone(), source };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        if is_new && !folder.exists() {
            let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
            made.map_err(|error| failed("make the folder of", error))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            // A named pipe would wait for a reader.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.path)
            .map_err(|error| failed("open", error))?;
        let about = file.metadata().map_err(|error| failed("look at", error))?;
        if !about.is_file() || about.nlink() > 1 {
            return Err(FileError::Kind(self.path.clone()));
        }
        if is_new {
            sync_folder(folder);
        }
        let mut last = [0];
        let torn = match about.len().checked_sub(1) {
            None => false,
            Some(at) => {
                file.read_exact_at(&mut last, at).map_err(|error| failed("read", error))?;
                last != *b"\n"
            }
        };
        Ok(Open { file, torn })
    }

    fn rotate(&mut self) -> Result<(), FileError> {
        self.open = None;
        let keep = self.rotate.map_or(0, |rotate| rotate.keep);
        for number in (1..=keep).rev() {
            let from = if number == 1 { self.path.clone() } else { numbered(&self.path, number - 1) };
            match fs::rename(&from, numbered(&self.path, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::Io { what: "rename", path: from, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many of the lines there is room for; a file with nothing in it takes one, however long.
fn fitting(max_size: u64, mut size: u64, lines: &[Vec<u8>]) -> usize {
    let mut count = 0;
    for line in lines {
        let length = line.len() as u64;
        if size > 0 && size.saturating_add(length) > max_size {
            break;
        }
        size += length;
        count += 1;
    }
    count
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// After a crash the file's name is there too. Not all file systems can; then there is nothing to be done.
fn sync_folder(folder: &Path) {
    let _unable = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Removes what was written after `kept`, unless somebody else has written since. What cannot be removed is ended by
/// the next line, which finds the file torn.
pub(super) fn take_back(file: &File, size: u64, written: usize, kept: usize) {
    let end = size + written as u64;
    let result = file
        .metadata()
        .and_then(|about| if about.len() == end { file.set_len(size + kept as u64) } else { Ok(()) });
    if let Err(error) = result {
        tracing::warn!(%error, "half a line stays in a file");
    }
}

fn write_all(file: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}
