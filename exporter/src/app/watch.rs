//! Watching the rule files for changes.
//!
//! A change can be a write, a rename over the file, a symbolic link that points elsewhere (a Kubernetes
//! ConfigMap swaps `..data`), or a folder that appears. So for each path the folders that lead to it are
//! watched, and the watches are made anew after each change.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt};
use inotify::{EventStream, Inotify, WatchMask};

/// A change is reported once nothing has changed for this long, …
const QUIET: Duration = Duration::from_millis(200);
/// … or at the latest after this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most events taken in one look; the kernel bounds what waits.
const MAX_TAKEN: usize = 4096;

/// Watches until the first change.
struct Watch {
    events: EventStream<[u8; 4096]>,
    /// Something changed, which was not reported yet.
    noticed: bool,
}

impl Watch {
    /// Begins to watch; what changes from now on will be noticed.
    fn new(paths: &[PathBuf]) -> io::Result<Watch> {
        let inotify = Inotify::init()?;
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        for folder in folders(paths) {
            // It may go between the look and the watch: then its parent's watch reports that.
            match inotify.watches().add(&folder, mask) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Watch { events: inotify.into_event_stream([0; 4096])?, noticed: false })
    }

    /// Waits for changes to begin and to calm down. A folder where much happens (`/tmp`) costs a look per
    /// [`QUIET`], not one per event. May be cancelled: what began is remembered.
    async fn changed(&mut self) -> io::Result<()> {
        while !self.noticed {
            self.next().await?;
        }
        let patience = Instant::now() + PATIENCE;
        loop {
            tokio::time::sleep(QUIET).await;
            let mut calm = true;
            for _ in 0..MAX_TAKEN {
                match self.next().now_or_never() {
                    Some(event) => event?,
                    None => break,
                }
                calm = false;
            }
            if calm || Instant::now() >= patience {
                break;
            }
        }
        self.noticed = false;
        Ok(())
    }

    async fn next(&mut self) -> io::Result<()> {
        match self.events.next().await {
            Some(event) => {
                event?;
                self.noticed = true;
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The watch on the rules of a daemon: none if they are in the binary or watching is off.
pub struct Watcher {
    paths: Vec<PathBuf>,
    watch: Option<Watch>,
}

impl Watcher {
    pub fn new(enabled: bool, paths: &[PathBuf]) -> Watcher {
        let paths = if enabled { paths.to_vec() } else { Vec::new() };
        let mut watcher = Watcher { paths, watch: None };
        watcher.renew();
        watcher
    }

    /// Watches anew: what the paths lead to may have changed.
    pub fn renew(&mut self) {
        if self.paths.is_empty() {
            return;
        }
        // The old watch goes after the new one stands.
        match Watch::new(&self.paths) {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => self.give_up(&error),
        }
    }

    /// Resolves when something may have changed; never if nothing is watched. May be cancelled.
    pub async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => {
                if let Err(error) = watch.changed().await {
                    self.give_up(&error);
                }
            }
            None => std::future::pending().await,
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        tracing::error!(%error, "cannot watch the rule files; send SIGHUP to reload them");
        self.watch = None;
    }
}

/// The folders in which a change can change what `paths` mean.
fn folders(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for path in paths {
        for path in [Some(path.clone()), path.canonicalize().ok()].into_iter().flatten() {
            if path.is_dir() {
                folders.insert(path.clone());
                for file in path.read_dir().into_iter().flatten().flatten() {
                    // A file of the folder may be a link to elsewhere.
                    if let Some(target) = file.path().canonicalize().ok().filter(|t| t.is_file()) {
                        folders.extend(target.parent().map(Path::to_owned));
                    }
                }
            }
            folders.insert(nearest_parent(&path));
        }
    }
    folders
}

/// The nearest folder above `path` that exists.
fn nearest_parent(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1).find(|folder| folder.is_dir());
    match above {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// Whether `change` in a fresh folder with `rules.yaml` in it is noticed when `watched` is watched.
    async fn notices(watched: &str, change: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("rules.yaml"), "[]").unwrap();
        fs::create_dir_all(dir.path().join("map/..1")).unwrap();
        fs::write(dir.path().join("map/..1/a.yaml"), "[]").unwrap();
        symlink("..1", dir.path().join("map/..data")).unwrap();
        symlink("..data/a.yaml", dir.path().join("map/a.yaml")).unwrap();
        symlink("map/..1/a.yaml", dir.path().join("link.yaml")).unwrap();
        let mut watch = Watch::new(&[dir.path().join(watched)]).unwrap();
        change(dir.path());
        tokio::time::timeout(Duration::from_secs(60), watch.changed()).await.expect("noticed").unwrap();
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_is_noticed() {
        notices("rules.yaml", |dir| fs::write(dir.join("rules.yaml"), "- list: a").unwrap()).await;
        notices("rules.yaml", |dir| fs::remove_file(dir.join("rules.yaml")).unwrap()).await;
        notices("rules.yaml", |dir| {
            fs::write(dir.join("new"), "[]").unwrap();
            fs::rename(dir.join("new"), dir.join("rules.yaml")).unwrap();
        })
        .await;
        // A file behind a link, changed in place.
        notices("link.yaml", |dir| fs::write(dir.join("map/..1/a.yaml"), "x").unwrap()).await;
        // A folder that is not there yet.
        notices("later/rules.yaml", |dir| fs::create_dir(dir.join("later")).unwrap()).await;
    }

    #[tokio::test]
    async fn a_change_is_noticed_however_often_the_wait_is_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(&[dir.path().join("rules.yaml")]).unwrap();
        fs::write(dir.path().join("rules.yaml"), "[]").unwrap();
        // As the supervisor does when its timer is due: each wait ends in the quiet time after the change.
        while !watch.noticed {
            assert!(watch.changed().now_or_never().is_none(), "reported before it was quiet");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::timeout(Duration::from_secs(60), watch.changed()).await.expect("noticed").unwrap();
        assert!(!watch.noticed, "reported once");
    }

    #[tokio::test]
    async fn a_config_map_swap_is_noticed() {
        for watched in ["map", "map/a.yaml"] {
            notices(watched, |dir| {
                let map = dir.join("map");
                fs::create_dir(map.join("..2")).unwrap();
                fs::write(map.join("..2/a.yaml"), "[]").unwrap();
                symlink("..2", map.join("..data_tmp")).unwrap();
                fs::rename(map.join("..data_tmp"), map.join("..data")).unwrap();
                fs::remove_dir_all(map.join("..1")).unwrap();
            })
            .await;
        }
    }
}
