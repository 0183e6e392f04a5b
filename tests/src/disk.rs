//! A small disk, gone when dropped.

use std::{path::Path, process::Command};

/// A mounted one.
#[derive(Debug)]
pub struct Disk<'p>(&'p Path);

impl Disk<'_> {
    /// Mounts one of a size, as `2m`, over a folder.
    pub fn new<'p>(at: &'p Path, size: &str) -> Disk<'p> {
        let disk = Disk(at);
        disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "yagura-test"]);
        disk
    }

    /// As if there were more room, or less.
    pub fn resize(&self, size: &str) {
        self.run("mount", &["-o", &format!("remount,size={size}")]);
    }

    fn run(&self, program: &str, args: &[&str]) {
        let status = Command::new(program).args(args).arg(self.0).status().expect("it runs");
        assert!(status.success(), "{program} {args:?}");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
