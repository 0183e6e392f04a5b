//! Where the host's `/etc` is.

use std::path::{Path, PathBuf};

/// The `/etc` of the first process: in a container our own is the image's. It takes the host's pid namespace and
/// `CAP_SYS_PTRACE`; without them it is our own.
pub fn host_etc(proc_root: &Path) -> PathBuf {
    let of_first = proc_root.join("1/root/etc");
    if of_first.join("passwd").exists() { of_first } else { "/etc".into() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_the_first_processs_if_that_can_be_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(host_etc(dir.path()), Path::new("/etc"));
        let etc = dir.path().join("1/root/etc");
        fs::create_dir_all(&etc).unwrap();
        assert_eq!(host_etc(dir.path()), Path::new("/etc"), "a root without users is no host's");
        fs::write(etc.join("passwd"), "").unwrap();
        assert_eq!(host_etc(dir.path()), etc);
    }
}
