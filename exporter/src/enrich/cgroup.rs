//! Which container a cgroup belongs to, by its path.
//!
//! # The rule
//! A path says "container" only by the forms that container runtimes give it; the deepest component that
//! has such a form decides, so that a container inside a container is its own:
//! - 64 hex digits as a whole component (`/docker/<id>`, `/k8s.io/<id>`, `/kubepods/…/pod<uid>/<id>`);
//! - `<runtime>-<64 hex digits>.scope` or without `.scope` (`docker-`, `cri-containerd-`, `crio-`,
//!   `libpod-`, `nerdctl-`, …), but not a runtime's monitor (`crio-conmon-`, `libpod-conmon-`), which is a
//!   host process;
//! - `<slice>:<runtime>:<64 hex digits>` (containerd with the systemd driver under another init);
//! - exactly two components, neither a systemd unit (`/default/demo1`, from containerd's `ctr`): an id that
//!   is not hexadecimal. Anyone who may make cgroups can make such a path, so it counts only for a process
//!   that is also in another mount namespace than the host, and only if a runtime knows the container.
//!
//! Whoever may create cgroups (root, or a user in a delegated subtree) can take a container's form on
//! purpose. Such a process then looks like a container; it cannot look like the host from inside one.

use std::sync::Arc;

use super::{
    lru::LruMap,
    slots::{Slot, Slots},
};

/// Length of `container.id`, as Falco cuts it.
pub const SHORT_ID: usize = 12;

/// A cgroup and what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Inode number of the v2 directory, 0 if unknown.
    pub id: u64,
    pub path: Box<[u8]>,
    container: Option<(usize, usize)>,
    named: bool,
    slot: Option<Arc<Slot>>,
}

impl Cgroup {
    /// Without a place for what is known of its container.
    pub fn new(id: u64, path: &[u8]) -> Cgroup {
        let found = find_container(path);
        Cgroup {
            id,
            path: path.into(),
            container: found.as_ref().map(|found| (found.start, found.end)),
            named: found.is_some_and(|found| found.named),
            slot: None,
        }
    }

    /// Whose it is, if its path alone tells.
    pub fn place(&self) -> Option<Place> {
        match self.container {
            Some(_) if self.named => None,
            Some(_) => Some(Place::Container),
            None => Some(Place::Host),
        }
    }

    /// The whole id of the container, if a process with these namespaces is in one.
    pub fn container(&self, foreign_mounts: bool) -> Option<&[u8]> {
        let is_one = || foreign_mounts && self.slot.as_ref().is_none_or(|slot| slot.exists());
        let (start, end) = self.container.filter(|_| !self.named || is_one())?;
        self.path.get(start..end)
    }

    /// What is known of the container, if a process with these namespaces is in one.
    pub fn slot(&self, foreign_mounts: bool) -> Option<&Arc<Slot>> {
        self.slot.as_ref().filter(|_| foreign_mounts || !self.named)
    }
}

/// Whose a cgroup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Host,
    Container,
}

struct Found {
    start: usize,
    end: usize,
    named: bool,
}

fn find_container(path: &[u8]) -> Option<Found> {
    let mut found = None;
    let mut components = 0;
    let mut units = false;
    let mut at = 0;
    for component in path.split(|byte| *byte == b'/') {
        let start = at;
        at += component.len() + 1;
        if component.is_empty() {
            continue;
        }
        components += 1;
        units |= is_unit(component);
        if let Some((from, to)) = hex_id(component) {
            found = Some(Found { start: start + from, end: start + to, named: false });
        }
    }
    if found.is_none() && components == 2 && !units {
        let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        found =
            Some(Found { start: name, end: path.len(), named: true }).filter(|found| found.start < found.end);
    }
    found
}

fn is_unit(component: &[u8]) -> bool {
    [&b".slice"[..], b".scope", b".service", b".mount", b".socket"]
        .iter()
        .any(|suffix| component.ends_with(suffix))
}

/// Where the 64 hex digits of a runtime's form are in a component.
fn hex_id(component: &[u8]) -> Option<(usize, usize)> {
    let stem = component.strip_suffix(b".scope").unwrap_or(component);
    let start = stem.len().checked_sub(64)?;
    let (prefix, id) = stem.split_at(start);
    if !id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let runtime = match prefix.split_last() {
        None => return Some((start, stem.len())),
        Some((b'-' | b':', runtime)) => runtime,
        Some(_) => return None,
    };
    (!runtime.ends_with(b"conmon")).then_some((start, stem.len()))
}

/// Cgroups by id: a path is looked at once.
#[derive(Debug)]
pub struct Cgroups {
    by_id: LruMap<u64, Arc<Cgroup>>,
    slots: Slots,
    unknown: u64,
    /// Learnt since the last time somebody asked. Beyond [`MAX_NEWS`] they are forgotten: then the kernel does
    /// not learn of them, and reports more than it must.
    news: Vec<(u64, Place)>,
}

/// Most cgroups that wait to be told.
const MAX_NEWS: usize = 8192;

/// Id of the root of the v2 hierarchy. On a host that uses v1 only, every process has it, so it says
/// nothing and is never cached.
const ROOT_ID: u64 = 1;

impl Cgroups {
    pub fn new(bound: usize, slots: Slots) -> Cgroups {
        Cgroups { by_id: LruMap::new(bound), slots, unknown: 0, news: Vec::new() }
    }

    /// Makes a cgroup known by its path, and asks for its container if the path alone says that it is one.
    pub fn make(&mut self, id: u64, path: &[u8]) -> Arc<Cgroup> {
        let mut cgroup = Cgroup::new(id, path);
        if let Some(container) = cgroup.container.and_then(|(start, end)| cgroup.path.get(start..end)) {
            let slot = self.slots.of(container);
            if !cgroup.named {
                self.slots.ask(&slot, path);
            }
            cgroup.slot = Some(slot);
        }
        let cgroup = Arc::new(cgroup);
        self.insert(&cgroup);
        cgroup
    }

    /// Asks for a container that is one by the namespaces of a process in it.
    pub fn ask(&mut self, cgroup: &Cgroup, foreign_mounts: bool) {
        if let Some(slot) = cgroup.slot(foreign_mounts) {
            self.slots.ask(slot, &cgroup.path);
        }
    }

    /// A cgroup that is known, without counting as its use.
    pub fn peek(&self, id: u64) -> Option<&Arc<Cgroup>> {
        if id > ROOT_ID { self.by_id.peek(id) } else { None }
    }

    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The cgroup of an event, given the one its process was in and the path that the event carries.
    pub fn of(&mut self, id: u64, path: Option<&[u8]>, before: Option<&Arc<Cgroup>>) -> Option<Arc<Cgroup>> {
        if let Some(path) = path {
            if let Some(same) = before.filter(|before| before.id == id && *before.path == *path) {
                return Some(Arc::clone(same));
            }
            let known = if id > ROOT_ID { self.by_id.get(id).cloned() } else { None };
            return Some(match known.filter(|known| *known.path == *path) {
                Some(known) => known,
                None => self.make(id, path),
            });
        }
        if let Some(before) = before.filter(|before| before.id == id || before.id == 0 || id <= ROOT_ID) {
            return Some(Arc::clone(before));
        }
        let known = if id > ROOT_ID { self.by_id.get(id).cloned() } else { None };
        self.unknown += u64::from(known.is_none());
        // A process that moved itself into a cgroup that it made (a container with a delegated subtree can) is
        // still where it was: to say nothing would hide it. Its next exec or fork tells the path.
        known.or_else(|| before.cloned())
    }

    /// Makes a cgroup known to processes that join it later.
    fn insert(&mut self, cgroup: &Arc<Cgroup>) {
        if cgroup.id > ROOT_ID {
            if let Some(place) = cgroup.place()
                && self.news.len() < MAX_NEWS
                && self.by_id.get(cgroup.id).is_none_or(|known| known.path != cgroup.path)
            {
                self.news.push((cgroup.id, place));
            }
            self.by_id.insert(cgroup.id, Arc::clone(cgroup));
        }
    }

    /// What became known since the last time.
    pub fn news(&mut self) -> impl Iterator<Item = (u64, Place)> {
        self.news.drain(..)
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn evicted(&self) -> u64 {
        self.by_id.evicted()
    }

    /// Events whose cgroup had no known path: the one that the process was in before stands in.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const ID2: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn container_ids_are_found_by_the_runtimes_forms() {
        for (path, expected) in [
            ("/k8s.io/ID", "ID"),
            ("/docker/ID", "ID"),
            ("/docker/ID/init.scope", "ID"),
            ("/docker/ID/docker/ID2", "ID2"),
            ("/docker/ID/system.slice/cron.service", "ID"),
            ("/kubepods/burstable/pod0f3a-11/ID", "ID"),
            ("/kubepods.slice/kubepods-pod1.slice/cri-containerd-ID.scope", "ID"),
            ("/kubepods.slice/kubepods-pod1.slice/crio-ID.scope", "ID"),
            ("/kubepods.slice/kubepods-pod1.slice/crio-ID", "ID"),
            ("/kubepods.slice/kubepods-pod1.slice/crio-conmon-ID.scope", "host"),
            ("/machine.slice/libpod-ID.scope/container", "ID"),
            ("/machine.slice/libpod-conmon-ID.scope", "host"),
            ("/libpod_parent/libpod-ID", "ID"),
            ("/system.slice/docker-ID.scope", "ID"),
            ("/X.slice:cri-containerd:ID", "ID"),
            ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", "ID"),
            ("/default/demo1", "demo1 if foreign"),
            ("/default/demo1/", "host"),
            ("/a/b/c", "host"),
            ("/", "host"),
            ("", "host"),
            ("/init.scope", "host"),
            ("/system.slice/cron.service", "host"),
            ("/system.slice/IDx", "host"),
            ("/system.slice/xID", "host"),
            ("/system.slice/0ID", "host"),
            ("/user.slice/user-0.slice/session-1.scope", "host"),
            ("/docker/0123456789AB", "0123456789AB if foreign"),
        ] {
            let path = path.replace("ID2", ID2).replace("ID", ID);
            let cgroup = Cgroup::new(5, path.as_bytes());
            let text =
                |foreign| cgroup.container(foreign).map_or("host".into(), |id| String::from_utf8_lossy(id));
            let expected = expected.replace("ID2", ID2).replace("ID", ID);
            match expected.strip_suffix(" if foreign") {
                Some(id) => assert_eq!((text(true), text(false)), (id.into(), "host".into()), "{path}"),
                None => {
                    assert_eq!((text(true), text(false)), ((*expected).into(), (*expected).into()), "{path}")
                }
            }
        }
    }

    #[test]
    fn a_name_counts_if_a_runtime_knows_it() {
        let (sender, mut questions) = tokio::sync::mpsc::channel(8);
        let mut cgroups = Cgroups::new(10, Slots::new(10, Some(sender)));
        let cgroup = cgroups.make(7, b"/default/demo1");
        assert!(questions.try_recv().is_err(), "the path alone is not enough to ask");
        cgroups.ask(&cgroup, false);
        assert!(questions.try_recv().is_err() && cgroup.container(true).is_none());
        cgroups.ask(&cgroup, true);
        let question = questions.try_recv().unwrap();
        assert_eq!(cgroup.container(true), None, "not known, so the host's");
        question.slot.learn(Default::default());
        assert_eq!(cgroup.container(true), Some(&b"demo1"[..]));
        assert_eq!(cgroup.container(false), None);
        // A hexadecimal id needs nobody's word.
        let path = format!("/docker/{ID}");
        assert!(cgroups.make(8, path.as_bytes()).container(false).is_some());
        assert_eq!(&*questions.try_recv().unwrap().cgroup, path.as_bytes());
    }

    #[test]
    fn a_cgroup_is_known_by_its_id() {
        let mut cgroups = Cgroups::new(10, Slots::new(10, None));
        assert_eq!(cgroups.of(7, None, None), None);
        assert_eq!(cgroups.unknown(), 1);
        let seen = cgroups.of(7, Some(b"/k8s.io/x"), None).unwrap();
        assert_eq!(cgroups.of(7, None, None), Some(Arc::clone(&seen)));
        // A process that moved takes the new one, and one that did not keeps its own.
        assert_eq!(cgroups.of(8, None, Some(&seen)), Some(Arc::clone(&seen)), "unknown: where it was");
        assert_eq!(cgroups.unknown(), 2);
        let other = cgroups.of(9, Some(b"/k8s.io/y"), None).unwrap();
        assert_eq!(cgroups.of(9, None, Some(&seen)), Some(other));
        assert_eq!(cgroups.of(7, None, Some(&seen)), Some(Arc::clone(&seen)));
        // An id that is used again, for another path.
        assert_eq!(&*cgroups.of(7, Some(b"/other"), None).unwrap().path, b"/other");
        assert_eq!(&*cgroups.of(7, None, None).unwrap().path, b"/other");
    }

    #[test]
    fn the_root_of_v2_says_nothing_on_a_v1_host() {
        let mut cgroups = Cgroups::new(10, Slots::new(10, None));
        let docker = cgroups.of(1, Some(b"/docker/x"), None).unwrap();
        assert_eq!(cgroups.of(1, None, None), None, "not that of any other process");
        assert_eq!(cgroups.of(1, None, Some(&docker)), Some(docker), "but that of the same one");
    }
}
