//! Users and groups of the host, by number.
//!
//! Loaded and checked for changes by the control side; the hot path only looks numbers up. Users of
//! containers have databases of their own: [`super::roots`].

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustc_hash::FxHashMap;

/// Longest user or group file that is read.
const MAX_FILE: u64 = 16 << 20;

/// A user of `/etc/passwd`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: Box<[u8]>,
    pub home: Box<[u8]>,
    pub shell: Box<[u8]>,
}

/// Users and groups by number.
#[derive(Clone, Debug, Default)]
pub struct UserDb {
    users: FxHashMap<u32, User>,
    groups: FxHashMap<u32, Box<[u8]>>,
}

impl UserDb {
    /// From the texts of `/etc/passwd` and `/etc/group`. Lines that are not entries are skipped; of several
    /// entries with one number the first counts, as for the C library.
    pub fn parse(passwd: &[u8], group: &[u8]) -> UserDb {
        let mut db = UserDb::default();
        for line in passwd.split(|byte| *byte == b'\n') {
            let mut columns = line.split(|byte| *byte == b':');
            let (Some(name), Some(uid)) = (columns.next(), columns.nth(1).and_then(number)) else { continue };
            let mut text = |skip| columns.nth(skip).unwrap_or_default().into();
            let (home, shell) = (text(2), text(0));
            if !name.is_empty() {
                db.users.entry(uid).or_insert(User { name: name.into(), home, shell });
            }
        }
        for line in group.split(|byte| *byte == b'\n') {
            let mut columns = line.split(|byte| *byte == b':');
            let (Some(name), Some(gid)) = (columns.next(), columns.nth(1).and_then(number)) else { continue };
            if !name.is_empty() {
                db.groups.entry(gid).or_insert(name.into());
            }
        }
        db
    }

    pub fn user(&self, uid: u32) -> Option<&User> {
        self.users.get(&uid)
    }

    /// The name of a group.
    pub fn group(&self, gid: u32) -> Option<&[u8]> {
        self.groups.get(&gid).map(|name| &**name)
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The files behind a [`UserDb`], and when they last changed.
#[derive(Debug)]
pub struct UserFiles {
    passwd: PathBuf,
    group: PathBuf,
    seen: Option<[Option<(SystemTime, u64)>; 2]>,
}

impl UserFiles {
    /// `passwd` and `group` below `etc`.
    pub fn new(etc: &Path) -> UserFiles {
        UserFiles { passwd: etc.join("passwd"), group: etc.join("group"), seen: None }
    }

    /// The database, if the files changed since the last call (always the first time). A missing file has
    /// no entries.
    pub fn changed(&mut self) -> io::Result<Option<UserDb>> {
        let state = |path: &Path| fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
        let now = [state(&self.passwd), state(&self.group)];
        if self.seen == Some(now) {
            return Ok(None);
        }
        let db = UserDb::parse(&read(&self.passwd)?, &read(&self.group)?);
        self.seen = Some(now);
        Ok(Some(db))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_number() {
        let passwd = b"root:x:0:0:root:/root:/bin/bash\nbad\n:x:5::::\ntwin:x:0:0::/:/bin/sh\n\
            www\xff:x:33:33:www:/var/www:/usr/sbin/nologin\nneg:x:-1:::/\nbig:x:4294967296::::\nshort:x:7";
        let db = UserDb::parse(passwd, b"root:x:0:\nadm:x:4:a,b\nnone:x:\n+:::\n");
        let root = db.user(0).unwrap();
        assert_eq!(
            (&*root.name, &*root.home, &*root.shell),
            (&b"root"[..], &b"/root"[..], &b"/bin/bash"[..])
        );
        assert_eq!(&*db.user(33).unwrap().name, b"www\xff");
        assert_eq!(db.user(7), Some(&User { name: (*b"short").into(), ..User::default() }));
        assert_eq!((db.user(5), db.user(u32::MAX)), (None, None));
        assert_eq!((db.group(4), db.group(9)), (Some(&b"adm"[..]), None));
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let etc = tempfile::tempdir().unwrap();
        let mut files = UserFiles::new(etc.path());
        assert_eq!(files.changed().unwrap().unwrap().user(1), None);
        assert!(files.changed().unwrap().is_none());
        fs::write(etc.path().join("passwd"), "a:x:1:::\n").unwrap();
        assert_eq!(&*files.changed().unwrap().unwrap().user(1).unwrap().name, b"a");
        assert!(files.changed().unwrap().is_none());
        fs::remove_file(etc.path().join("passwd")).unwrap();
        assert_eq!(files.changed().unwrap().unwrap().user(1), None);
    }
}
