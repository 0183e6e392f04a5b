//! Control groups whose paths look like a container's, on this machine's cgroup v2 hierarchy.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// A group `…/kubepods/burstable/pod<uid>/<64 hexadecimal digits>`, removed when dropped.
#[derive(Debug)]
pub struct ContainerGroup {
    path: PathBuf,
    id: String,
    parents: Vec<PathBuf>,
}

impl ContainerGroup {
    pub fn new() -> anyhow::Result<ContainerGroup> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = (u64::from(std::process::id()) << 16) | u64::from(COUNT.fetch_add(1, Ordering::Relaxed));
        let id = format!("{unique:012x}{:052x}", 0xfeed_u32);
        let root = mount()?;
        let pod = format!("kubepods/burstable/pod0f5b1d2c-7a3e-4c55-9d61-{unique:012x}");
        let path = root.join(&pod).join(&id);
        fs::create_dir_all(&path)?;
        let parents = path.ancestors().skip(1).take_while(|dir| **dir != root).map(Path::to_owned).collect();
        Ok(ContainerGroup { path, id, parents })
    }

    /// The group's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container's id: 64 digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The inode number of the folder, which is the group's id in the kernel.
    pub fn inode(&self) -> u64 {
        fs::metadata(&self.path).expect("the group's folder").ino()
    }
}

impl Drop for ContainerGroup {
    fn drop(&mut self) {
        // Groups above may be in use by another test.
        let _absent = fs::remove_dir(self.path.join("inner"));
        let _busy = fs::remove_dir(&self.path);
        for parent in &self.parents {
            let _busy = fs::remove_dir(parent);
        }
    }
}

/// Where cgroup v2 is mounted.
pub fn mount() -> anyhow::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|words| words.get(2) == Some(&"cgroup2"))
        .map(|words| PathBuf::from(words[1]))
        .ok_or_else(|| anyhow::anyhow!("cgroup v2 is not mounted"))
}
