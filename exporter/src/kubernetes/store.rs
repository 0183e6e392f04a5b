//! What is known of the cluster, kept by the watches and asked by who looks for containers. Bounded; never on the hot
//! path.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::objects::{Controller, Metadata, NamespaceFacts, PodFacts};
use crate::{
    enrich::container::{Labels, Pod, Workload},
    metrics::KubernetesCounters,
};

/// Pods of one node: a kubelet runs 110 unless told otherwise.
pub(super) const MAX_PODS: usize = 4096;
pub(super) const MAX_NAMESPACES: usize = 20_000;
/// Makers of pods of which it is known who made them.
const MAX_OWNERS: usize = 4096;
/// Questions for makers that wait.
const MAX_QUESTIONS: usize = 4096;

/// Who made this?
#[derive(Clone, Debug)]
pub(super) struct OwnerQuestion {
    pub namespace: Box<str>,
    pub controller: Controller,
}

#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
    delete_delay: Duration,
    counters: Arc<KubernetesCounters>,
    questions: mpsc::Sender<OwnerQuestion>,
    waiting: Mutex<Option<mpsc::Receiver<OwnerQuestion>>>,
    changed: watch::Sender<u64>,
    pods_known: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// By the uid that the node knows.
    pods: HashMap<Box<str>, PodFacts>,
    namespaces: HashMap<Box<str>, NamespaceFacts>,
    node: Option<Arc<Labels>>,
    /// By the uid of the maker: who made it, if anybody.
    owners: HashMap<Box<str>, Option<Controller>>,
    /// Pods that are deleted, until they are forgotten.
    gone: VecDeque<(Instant, Box<str>)>,
    /// Namespaces that are deleted while pods of theirs are still known.
    ended: HashSet<Box<str>>,
}

impl Store {
    pub(super) fn new(delete_delay: Duration, counters: Arc<KubernetesCounters>) -> Store {
        let (questions, waiting) = mpsc::channel(MAX_QUESTIONS);
        Store {
            state: Mutex::default(),
            delete_delay,
            counters,
            questions,
            waiting: Mutex::new(Some(waiting)),
            changed: watch::Sender::new(0),
            pods_known: AtomicBool::new(false),
        }
    }

    /// Where questions for makers arrive, once; later a queue in which nothing arrives.
    pub(super) fn take_questions(&self) -> mpsc::Receiver<OwnerQuestion> {
        let taken = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.unwrap_or_else(|| mpsc::channel(1).1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves at most one object half known; the next list mends it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// A count that changes whenever anything does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether the pods of this node have been listed: only then is a pod that is not there worth waiting for.
    pub fn knows_pods(&self) -> bool {
        self.pods_known.load(Ordering::Acquire)
    }

    pub(super) fn set_knows_pods(&self) {
        self.pods_known.store(true, Ordering::Release);
    }

    /// What is known of a pod, by the uid that the node knows.
    pub fn pod(&self, uid: &str) -> Option<Pod> {
        let state = self.state();
        let facts = state.pods.get(uid)?;
        let namespace = state.namespaces.get(&facts.namespace);
        let workload = |controller: &Controller| Workload {
            kind: controller.kind.clone(),
            name: controller.name.clone(),
        };
        // Not known before it is known who made the maker: a name that changes is worse than one that comes late.
        let workloads = match &facts.controller {
            None => Some(Vec::new()),
            Some(maker) if is_made(maker) => state.owners.get(&maker.uid).map(|above| {
                [Some(workload(maker)), above.as_ref().map(workload)].into_iter().flatten().collect()
            }),
            Some(maker) => Some(vec![workload(maker)]),
        };
        Some(Pod {
            name: Some(facts.name.clone()),
            namespace: Some(facts.namespace.clone()),
            uid: Some(uid.into()),
            labels: Some(facts.labels.clone()),
            annotations: Some(facts.annotations.clone()),
            namespace_labels: namespace.map(|facts| Arc::clone(&facts.labels)),
            namespace_annotations: namespace.map(|facts| Arc::clone(&facts.annotations)),
            node_labels: state.node.clone(),
            workloads: workloads.map(Into::into),
            ..Pod::default()
        })
    }

    /// Labels of a namespace, and those of its annotations that are ours.
    pub fn namespace(&self, name: &str) -> Option<(Arc<Labels>, Arc<Labels>)> {
        let state = self.state();
        let facts = state.namespaces.get(name)?;
        Some((Arc::clone(&facts.labels), Arc::clone(&facts.annotations)))
    }

    /// Forgets what was deleted long enough ago.
    pub(super) fn expire(&self) {
        let mut state = self.state();
        let now = Instant::now();
        while let Some((at, _)) = state.gone.front() {
            if now.duration_since(*at) < self.delete_delay {
                break;
            }
            if let Some((_, uid)) = state.gone.pop_front() {
                state.pods.remove(&uid);
            }
        }
        let state = &mut *state;
        if !state.ended.is_empty() {
            let alive: HashSet<&str> = state.pods.values().map(|pod| &*pod.namespace).collect();
            state.ended.retain(|name| {
                let stays = alive.contains(&**name);
                if !stays {
                    state.namespaces.remove(name);
                }
                stays
            });
        }
        // Makers of nobody are forgotten with their pods.
        if state.owners.len() > state.pods.len() {
            let wanted: HashSet<&str> =
                state.pods.values().filter_map(|pod| Some(&*pod.controller.as_ref()?.uid)).collect();
            state.owners.retain(|uid, _| wanted.contains(&**uid));
        }
        self.count(state);
    }

    pub(super) fn put_pod(&self, metadata: &Metadata) {
        let Some(facts) = metadata.pod() else { return self.counters.refuse("invalid") };
        let uid = metadata.pod_uid();
        let question = facts
            .controller
            .clone()
            .filter(is_made)
            .map(|controller| OwnerQuestion { namespace: facts.namespace.clone(), controller });
        {
            let mut state = self.state();
            // It may come back: a watch that was interrupted tells of deletions twice.
            state.gone.retain(|(_, gone)| **gone != *uid);
            if state.pods.len() >= MAX_PODS && !state.pods.contains_key(uid) {
                return self.counters.refuse("pods");
            }
            state.pods.insert(uid.into(), facts);
            let known =
                question.as_ref().is_some_and(|question| state.owners.contains_key(&question.controller.uid));
            if let Some(question) = question.filter(|_| !known)
                && self.questions.try_send(question).is_err()
            {
                self.counters.refuse("owners");
            }
            self.count(&state);
        }
        self.tell();
    }

    pub(super) fn remove_pod(&self, uid: &str) {
        let mut state = self.state();
        if state.pods.contains_key(uid) && !state.gone.iter().any(|(_, gone)| **gone == *uid) {
            state.gone.push_back((Instant::now(), uid.into()));
            self.count(&state);
        }
    }

    /// After a list: what is not in it is deleted.
    pub(super) fn keep_pods(&self, listed: &HashSet<Box<str>>) {
        let missing: Vec<Box<str>> =
            self.state().pods.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        missing.iter().for_each(|uid| self.remove_pod(uid));
    }

    pub(super) fn put_namespace(&self, metadata: &Metadata) {
        {
            let mut state = self.state();
            let name: Box<str> = metadata.name.as_str().into();
            if state.namespaces.len() >= MAX_NAMESPACES && !state.namespaces.contains_key(&name) {
                return self.counters.refuse("namespaces");
            }
            // It may come back, as another of the same name.
            state.ended.remove(&name);
            state.namespaces.insert(name, metadata.namespace_facts());
            self.count(&state);
        }
        self.tell();
    }

    /// A namespace ends after everything in it, but its pods' last events may come later: it is forgotten with them.
    pub(super) fn remove_namespace(&self, name: &str) {
        let mut state = self.state();
        if state.pods.values().any(|pod| *pod.namespace == *name) {
            state.ended.insert(name.into());
        } else {
            state.namespaces.remove(name);
            self.count(&state);
        }
    }

    pub(super) fn keep_namespaces(&self, listed: &HashSet<Box<str>>) {
        let missing: Vec<Box<str>> =
            self.state().namespaces.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        missing.iter().for_each(|name| self.remove_namespace(name));
    }

    pub(super) fn put_node(&self, metadata: &Metadata) {
        self.state().node = Some(Arc::new(metadata.node()));
        self.tell();
    }

    pub(super) fn put_owner(&self, uid: &str, owner: Option<Controller>) {
        {
            let mut state = self.state();
            if state.owners.len() >= MAX_OWNERS {
                return self.counters.refuse("owners");
            }
            state.owners.insert(uid.into(), owner);
        }
        self.tell();
    }

    fn count(&self, state: &State) {
        self.counters.objects(state.pods.len(), state.namespaces.len(), state.gone.len());
    }
}

/// Kinds that something else usually made, and that people do not know by name.
fn is_made(controller: &Controller) -> bool {
    matches!(&*controller.kind, "ReplicaSet" | "Job")
}
