//! A place for what is known of each container, and who is asked for it.
//!
//! The hot thread makes a [`Slot`] when it first meets a container and puts a [`Question`]; it never waits. Whoever
//! answers fills the slot, which every process of the container shares, so an answer that comes late still serves the
//! events after it. Without anybody to ask, nothing is known and nothing waited for.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU32, Ordering},
};

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc::Sender;

use super::{container::Container, lru::LruMap};

/// What is known of one container.
#[derive(Debug)]
pub struct Slot {
    /// Its whole id.
    pub id: Arc<[u8]>,
    state: AtomicU8,
    container: ArcSwapOption<Container>,
    open: Arc<AtomicU32>,
    /// There is somebody to ask for it.
    can_be_known: bool,
}

/// Nobody has been asked.
const NEW: u8 = 0;
/// Somebody is looking: worth to wait for a moment.
const ASKED: u8 = 1;
/// There is an answer, or there will be none soon.
const SETTLED: u8 = 2;

impl PartialEq for Slot {
    fn eq(&self, other: &Slot) -> bool {
        self.id == other.id
    }
}

impl Eq for Slot {}

impl Slot {
    pub fn container(&self) -> Option<Arc<Container>> {
        self.container.load_full()
    }

    /// Whether somebody runs this container, as far as it can be known. With nobody to ask the path's word counts.
    pub fn exists(&self) -> bool {
        !self.can_be_known || self.container.load().is_some()
    }

    /// Whether an answer may be expected at any moment.
    pub fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == ASKED
    }

    /// Stores what is known by now, without ending the wait for more.
    pub fn learn(&self, container: Container) {
        self.container.store(Some(Arc::new(container)));
    }

    /// Nobody need wait any longer.
    pub fn settle(&self) {
        if self.state.swap(SETTLED, Ordering::AcqRel) == ASKED {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Asks for a container.
#[derive(Clone, Debug)]
pub struct Question {
    pub slot: Arc<Slot>,
    /// The path of the cgroup in which it was met: some say more than the id.
    pub cgroup: Box<[u8]>,
}

/// The slots of all containers, by id.
#[derive(Debug)]
pub struct Slots {
    by_id: LruMap<Arc<[u8]>, Arc<Slot>>,
    questions: Option<Sender<Question>>,
    /// Slots that somebody is looking for.
    open: Arc<AtomicU32>,
    refused: u64,
}

impl Slots {
    pub fn new(bound: usize, questions: Option<Sender<Question>>) -> Slots {
        Slots { by_id: LruMap::new(bound), questions, open: Arc::default(), refused: 0 }
    }

    /// The slot of a container.
    pub fn of(&mut self, id: &[u8]) -> Arc<Slot> {
        let id: Arc<[u8]> = id.into();
        if let Some(known) = self.by_id.get(Arc::clone(&id)) {
            return Arc::clone(known);
        }
        let slot = Arc::new(Slot {
            id: Arc::clone(&id),
            state: AtomicU8::new(if self.questions.is_some() { NEW } else { SETTLED }),
            container: ArcSwapOption::empty(),
            open: Arc::clone(&self.open),
            can_be_known: self.questions.is_some(),
        });
        self.by_id.insert(id, Arc::clone(&slot));
        slot
    }

    /// Asks for a container if nobody has been asked. Finding no room it may be asked for again.
    pub fn ask(&mut self, slot: &Arc<Slot>, cgroup: &[u8]) {
        let Some(questions) = &self.questions else { return };
        if slot.state.compare_exchange(NEW, ASKED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let question = Question { slot: Arc::clone(slot), cgroup: cgroup.into() };
        if questions.try_send(question).is_err() {
            self.open.fetch_sub(1, Ordering::Relaxed);
            slot.state.store(NEW, Ordering::Release);
            self.refused += 1;
        }
    }

    /// Whether an answer for any container may be expected.
    pub fn any_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) != 0
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Containers forgotten because there were too many.
    pub fn evicted(&self) -> u64 {
        self.by_id.evicted()
    }

    /// Questions that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_asked_for_once_and_waited_for_until_it_is_settled() {
        let (sender, mut questions) = tokio::sync::mpsc::channel(1);
        let mut slots = Slots::new(8, Some(sender));
        let slot = slots.of(b"a");
        assert!(!slot.is_open() && !slots.any_open(), "nobody is asked by looking");
        slots.ask(&slot, b"/docker/a");
        let same = slots.of(b"a");
        slots.ask(&same, b"/docker/a/init.scope");
        assert!(slot.is_open() && slots.any_open());
        // The queue is full: the other one is not waited for, and may be asked for again.
        let other = slots.of(b"b");
        slots.ask(&other, b"/docker/b");
        assert!(!other.is_open());
        assert_eq!(slots.refused(), 1);
        let question = questions.try_recv().unwrap();
        assert_eq!((&*question.slot.id, &*question.cgroup), (&b"a"[..], &b"/docker/a"[..]));
        slots.ask(&other, b"/docker/b");
        assert!(other.is_open());
        question.slot.learn(Container { name: Some("n".into()), ..Container::default() });
        assert!(slot.is_open(), "more may come");
        question.slot.settle();
        question.slot.settle();
        assert!(!slot.is_open() && slots.any_open(), "the other one is open");
        assert_eq!(slot.container().and_then(|c| c.name.clone()).as_deref(), Some("n"));
        other.settle();
        assert!(!slots.any_open());
    }

    #[test]
    fn with_nobody_to_ask_nothing_is_waited_for() {
        let mut slots = Slots::new(8, None);
        let slot = slots.of(b"a");
        slots.ask(&slot, b"/docker/a");
        assert!(!slot.is_open() && !slots.any_open() && slot.container().is_none());
    }

    #[test]
    fn the_bound_holds() {
        let mut slots = Slots::new(8, None);
        for id in 0..100u32 {
            slots.of(&id.to_le_bytes());
        }
        assert!(slots.len() <= 8 && slots.evicted() >= 92, "{} {}", slots.len(), slots.evicted());
    }
}
