//! The thread that answers: takes questions, asks the sources, fills the slots.
//!
//! A container begins to run before all of its runtime's words of it are there, so a question is asked again a few times
//! within the time that its events wait, and a few times later for what comes late (an address, a sandbox's labels).

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    sync::{
        Semaphore,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Instant, sleep, timeout_at},
};

use super::{
    Known, Query, ResolveError, Resolver, containerd::Containerd, cri::Cri, docker::Docker, files::Files,
    kubernetes::Kubernetes,
};
use crate::{
    enrich::{
        container::{Container, Pod, Runtime},
        slots::{Question, Slot},
    },
    kubernetes::Store,
    metrics::{ContainerCounters, LookupCounters},
};

/// Questions waiting to be taken.
const MAX_WAITING: usize = 4096;
/// Containers looked for at once.
const MAX_AT_ONCE: usize = 64;
/// Containers that are looked at again later; beyond this many only what was found at first is known.
const MAX_FOLLOWED: usize = 4096;
/// The first pause between two looks while events wait; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// Looks at what is known later: since the one before.
const LATER: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(25), Duration::from_secs(120)];

/// How long changes of pods are gathered.
const REFRESH: Duration = Duration::from_millis(500);

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The folder that is the host's root.
    pub root: PathBuf,
    /// How long events of a container of which nothing is known wait.
    pub patience: Duration,
    /// Sockets, below `root`.
    pub cri: Vec<PathBuf>,
    pub containerd: Vec<PathBuf>,
    pub docker: Vec<PathBuf>,
    pub podman: Vec<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Options {
            root: "/".into(),
            patience: Duration::from_millis(500),
            cri: paths(&[
                "/run/containerd/containerd.sock",
                "/run/crio/crio.sock",
                "/run/k3s/containerd/containerd.sock",
            ]),
            containerd: paths(&["/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock"]),
            docker: paths(&["/run/docker.sock"]),
            podman: paths(&["/run/podman/podman.sock"]),
        }
    }
}

/// The questions: how to put them, and where they arrive.
pub fn questions() -> (Sender<Question>, Receiver<Question>) {
    channel(MAX_WAITING)
}

/// Starts the thread; it ends when nobody can ask any more. `kubernetes`: what is known of pods, if it is watched. `wake` is called when a container has been settled.
pub fn start(
    options: &Options,
    kubernetes: Option<Arc<Store>>,
    questions: Receiver<Question>,
    wake: impl Fn() + Send + Sync + 'static,
    counters: Arc<ContainerCounters>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let service = Arc::new(Service::new(options, kubernetes, wake, counters));
    thread::Builder::new().name("yagura-who".into()).spawn(move || {
        runtime.block_on(service.run(questions));
    })?;
    Ok(())
}

struct Service {
    sources: Vec<Source>,
    patience: Duration,
    wake: Box<dyn Fn() + Send + Sync>,
    at_once: Semaphore,
    followed: Arc<Semaphore>,
    kubernetes: Option<Arc<Store>>,
    /// Containers of pods, which change with what the API server says of them.
    pods: Mutex<Vec<Weak<Slot>>>,
    counters: Arc<ContainerCounters>,
}

struct Source {
    resolver: Box<dyn Resolver>,
    counters: Arc<LookupCounters>,
}

impl Service {
    fn new(
        options: &Options,
        kubernetes: Option<Arc<Store>>,
        wake: impl Fn() + Send + Sync + 'static,
        counters: Arc<ContainerCounters>,
    ) -> Service {
        let Options { root, patience, cri, containerd, docker, podman } = options;
        let below = |path: &PathBuf| root.join(path.strip_prefix("/").unwrap_or(path));
        let mut resolvers: Vec<Box<dyn Resolver>> = vec![Box::new(Files::new(root))];
        let mut add = |paths: &[PathBuf], make: &dyn Fn(&Path) -> Box<dyn Resolver>| {
            resolvers.extend(paths.iter().map(|path| make(&below(path))));
        };
        add(cri, &|path| Box::new(Cri::new(path)));
        add(containerd, &|path| Box::new(Containerd::new(path)));
        add(docker, &|path| Box::new(Docker::new(path, Runtime::Docker)));
        add(podman, &|path| Box::new(Docker::new(path, Runtime::Podman)));
        // Last, because it is asked by the pod's uid, which the others tell.
        resolvers.extend(
            kubernetes.clone().map(|store| -> Box<dyn Resolver> { Box::new(Kubernetes::new(store)) }),
        );
        let sources = resolvers
            .into_iter()
            .map(|resolver| Source { counters: counters.of(resolver.name()), resolver })
            .collect();
        Service {
            sources,
            patience: *patience,
            wake: Box::new(wake),
            at_once: Semaphore::new(MAX_AT_ONCE),
            followed: Arc::new(Semaphore::new(MAX_FOLLOWED)),
            kubernetes,
            pods: Mutex::default(),
            counters,
        }
    }

    async fn run(self: Arc<Service>, mut questions: Receiver<Question>) {
        if let Some(store) = self.kubernetes.clone() {
            tokio::spawn(Arc::clone(&self).refresh(store));
        }
        while let Some(question) = questions.recv().await {
            // Whoever waits for a permit here keeps the questions behind it waiting in their bounded queue.
            let Ok(permit) = self.at_once.acquire().await else { return };
            permit.forget();
            let service = Arc::clone(&self);
            tokio::spawn(async move {
                service.answer(question).await;
                service.at_once.add_permits(1);
            });
        }
    }

    async fn answer(self: &Arc<Service>, question: Question) {
        let Question { slot, cgroup } = question;
        let Some(id) = usable(&slot.id) else {
            slot.settle();
            (self.wake)();
            return;
        };
        let pod_uid = pod_uid(&cgroup);
        let end = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        let mut missed = false;
        let found = loop {
            let mut look = Look::default();
            // A source that takes longer than anybody waits is heard later; what others said counts.
            let _in_time = timeout_at(end, self.look(&id, &mut look)).await;
            // One that has failed just now may know more, such as the labels that name a tenant. One that failed before,
            // for other containers, is not waited for.
            missed = look.failed || (missed && look.resting);
            learn(&slot, look.container(pod_uid.as_deref()));
            let found = slot.container();
            let done = !missed && found.as_deref().is_some_and(Container::names_its_owner);
            if done || Instant::now() + pause >= end {
                break found;
            }
            sleep(pause).await;
            pause *= 2;
        };
        if self.kubernetes.is_some() && found.as_ref().is_some_and(|container| container.pod.is_some()) {
            self.note(&slot);
        }
        self.counters.settled(found.as_deref().map(Container::names_its_owner));
        slot.settle();
        (self.wake)();
        match Arc::clone(&self.followed).try_acquire_owned() {
            Ok(permit) => {
                let service = Arc::clone(self);
                let slot = Arc::downgrade(&slot);
                tokio::spawn(async move {
                    service.follow(slot, &id, pod_uid.as_deref()).await;
                    drop(permit);
                });
            }
            Err(_) => self.counters.unfollowed(),
        }
    }

    /// Keeps what is known of pods as the API server has it, for as long as their containers are known.
    async fn refresh(self: Arc<Service>, store: Arc<Store>) {
        let mut changes = store.changes();
        while changes.changed().await.is_ok() {
            // Changes come in bursts: once for all that come within a moment.
            sleep(REFRESH).await;
            changes.borrow_and_update();
            let slots: Vec<Weak<Slot>> = {
                let mut pods = self.pods();
                pods.retain(|slot| slot.strong_count() != 0);
                pods.clone()
            };
            for slot in slots.iter().filter_map(Weak::upgrade) {
                let Some(known) = slot.container() else { continue };
                let uid = known.pod.as_ref().and_then(|pod| pod.uid.as_deref());
                let Some(pod) = uid.and_then(|uid| store.pod(uid)) else { continue };
                let updated = (*known).clone().with_pod(pod);
                if updated != *known {
                    slot.learn(updated);
                }
            }
        }
    }

    fn pods(&self) -> MutexGuard<'_, Vec<Weak<Slot>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a container whose pod may change.
    fn note(&self, slot: &Arc<Slot>) {
        let mut pods = self.pods();
        if pods.len() >= MAX_FOLLOWED {
            pods.retain(|slot| slot.strong_count() != 0);
        }
        if pods.len() >= MAX_FOLLOWED {
            return self.counters.unfollowed();
        }
        pods.push(Arc::downgrade(slot));
    }

    /// Looks at a container again, for what is known of it only later.
    async fn follow(&self, slot: Weak<Slot>, id: &str, pod_uid: Option<&str>) {
        for pause in LATER {
            sleep(pause).await;
            let Some(slot) = slot.upgrade() else { return };
            let mut look = Look::default();
            self.look(id, &mut look).await;
            learn(&slot, look.container(pod_uid));
        }
    }

    /// Asks every source that may know it, the ones that know most first.
    async fn look(&self, id: &str, look: &mut Look) {
        for Source { resolver, counters } in &self.sources {
            if !resolver.may_know(&look.known) {
                continue;
            }
            match resolver.resolve(Query { id, known: &look.known }).await {
                Ok(Some(found)) => {
                    counters.found();
                    look.any = true;
                    // Files come first and know least.
                    let before = std::mem::take(&mut look.known);
                    look.known = Known {
                        container: found.container.or(before.container),
                        namespace: before.namespace.or(found.namespace),
                    };
                }
                Ok(None) => counters.unknown(),
                Err(ResolveError::Absent) => {}
                Err(ResolveError::Resting) => look.resting = true,
                Err(error) => {
                    look.failed = true;
                    counters.failed();
                    tracing::debug!(id, source = resolver.name(), %error, "cannot ask for a container");
                }
            }
        }
    }
}

/// What was known before stays: a container that ended is not known to its runtime any more, and its last events are still
/// its own; and a look that is cut short has heard of less than one before.
fn learn(slot: &Slot, found: Option<Container>) {
    let Some(found) = found else { return };
    slot.learn(match slot.container() {
        Some(known) => found.or((*known).clone()),
        None => found,
    });
}

/// What a look at the sources has found so far, though it be cut short.
#[derive(Debug, Default)]
struct Look {
    known: Known,
    any: bool,
    /// A source did not answer, or was not asked because it had not answered a moment ago.
    failed: bool,
    resting: bool,
}

impl Look {
    /// `pod_uid` is what the path of the control group says.
    fn container(self, pod_uid: Option<&str>) -> Option<Container> {
        let mut container = self.any.then_some(self.known.container)?;
        if let Some(uid) = pod_uid {
            let of_path = Pod { uid: super::bounds::text(uid), ..Pod::default() };
            container = container.or(Container { pod: Some(of_path), ..Container::default() });
        }
        Some(container)
    }
}

/// An id that can be looked for: text that no path or URL understands otherwise.
fn usable(id: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let id = std::str::from_utf8(id).ok().filter(|id| !id.is_empty() && id.len() <= 255)?;
    (id.bytes().all(|byte| plain(&byte)) && !id.starts_with('.')).then(|| id.to_owned())
}

/// The pod's uid in a path of the kubelet's (`…/pod<uid>/…`, `…-pod<uid>.slice/…` with underscores).
fn pod_uid(cgroup: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(cgroup).ok().filter(|path| path.contains("kubepods"))?;
    path.split('/').rev().find_map(|component| {
        let component = component.strip_suffix(".slice").unwrap_or(component);
        let (before, uid) = component.rsplit_once("pod")?;
        let uid = uid.replace('_', "-");
        let is_uid = uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        (is_uid && (before.is_empty() || before.ends_with('-'))).then_some(uid)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        containers::Answer,
        enrich::{container::Image, slots::Slots},
    };

    #[test]
    fn ids_that_could_be_something_else_are_not_looked_for() {
        for (id, expected) in [
            (&b"0123abc"[..], true),
            (b"demo1", true),
            (b"my_app.web-1", true),
            (b"", false),
            (b".", false),
            (b"..", false),
            (b".hidden", false),
            (b"a/b", false),
            (b"a?x=1", false),
            (b"a b", false),
            (b"a%2e", false),
            (b"\xff", false),
            (&[b'a'; 256], false),
        ] {
            assert_eq!(usable(id).is_some(), expected, "{}", String::from_utf8_lossy(id));
        }
    }

    #[test]
    fn a_pod_is_named_by_the_path() {
        let uid = "0f3a1b2c-1111-2222-3333-444455556666";
        for (path, expected) in [
            ("/kubepods/burstable/podUID/abc", true),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-a.scope",
                true,
            ),
            ("/kubepods/podUIDx/abc", false),
            ("/kubepods/xpodUID/abc", false),
            ("/docker/podUID", false),
            ("/kubepods/pod/abc", false),
        ] {
            let written = if path.contains(".slice") { uid.replace('-', "_") } else { uid.into() };
            let found = pod_uid(path.replace("UID", &written).as_bytes());
            assert_eq!(found.as_deref(), expected.then_some(uid), "{path}");
        }
    }

    /// A source that knows a little more each time it is asked.
    #[derive(Debug)]
    struct Growing {
        asked: Arc<AtomicUsize>,
        /// From how many questions on it knows the container, its image, its address.
        knows: [usize; 3],
    }

    impl Resolver for Growing {
        fn name(&self) -> &'static str {
            "files"
        }

        fn may_know(&self, _: &Known) -> bool {
            true
        }

        fn resolve<'a>(&'a self, _: Query<'a>) -> Answer<'a> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            let [known, image, ip] = self.knows.map(|from| asked >= from);
            let container = Container {
                name: Some("c".into()),
                image: Image { reference: image.then(|| "i:1".into()), ..Image::default() },
                ip: ip.then(|| "10.0.0.1".into()),
                ..Container::default()
            };
            Box::pin(async move { Ok(known.then_some(Known { container, namespace: None })) })
        }
    }

    fn service(knows: [usize; 3]) -> (Arc<Service>, Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let (asked, woken): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let wake = Arc::clone(&woken);
        let nowhere = Options { root: "/nonexistent".into(), ..Options::default() };
        let wake = move || {
            wake.fetch_add(1, Ordering::Relaxed);
        };
        let mut service = Service::new(&nowhere, None, wake, Arc::default());
        let resolver = Box::new(Growing { asked: Arc::clone(&asked), knows });
        service.sources = vec![Source { resolver, counters: service.counters.of("files") }];
        (Arc::new(service), asked, woken)
    }

    /// A source that fails, then rests, then knows a label, and then never answers.
    #[derive(Debug)]
    struct Failing {
        asked: AtomicUsize,
        knows_from: usize,
        hangs_from: usize,
    }

    impl Resolver for Failing {
        fn name(&self) -> &'static str {
            "cri"
        }

        fn may_know(&self, _: &Known) -> bool {
            true
        }

        fn resolve<'a>(&'a self, _: Query<'a>) -> Answer<'a> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            if asked >= self.hangs_from {
                return Box::pin(std::future::pending());
            }
            let labels = [("app".into(), "web".into())].into_iter().collect();
            let answer = match asked {
                _ if asked >= self.knows_from => {
                    Ok(Container { labels: Some(labels), ..Container::default() })
                }
                1 => Err(ResolveError::Timeout),
                _ => Err(ResolveError::Resting),
            };
            Box::pin(async move { answer.map(|container| Some(Known { container, namespace: None })) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_is_waited_for_and_one_that_hangs_hides_nothing() {
        // From when the image is known, the label is, and nothing more is heard; whether the label is known in the end.
        for (image, knows_from, hangs_from, labels) in [(1, 4, 99, true), (1, 99, 1, false), (2, 1, 2, true)]
        {
            let (mut service, _, _) = service([1, image, 1]);
            let cri = Failing { asked: AtomicUsize::new(0), knows_from, hangs_from };
            let one = Arc::get_mut(&mut service).unwrap();
            one.sources.push(Source { resolver: Box::new(cri), counters: one.counters.of("cri") });
            let (_slots, question) = asked_for();
            let slot = Arc::clone(&question.slot);
            let began = Instant::now();
            service.answer(question).await;
            assert!(began.elapsed() <= Options::default().patience);
            let found = slot.container().expect("what the other source knows");
            assert_eq!((found.image.reference.as_deref(), found.labels.is_some()), (Some("i:1"), labels));
        }
    }

    fn asked_for() -> (Slots, Question) {
        let (sender, mut questions) = channel(1);
        let mut slots = Slots::new(8, Some(sender));
        let slot = slots.of(b"abc");
        slots.ask(&slot, b"/docker/abc");
        (slots, questions.try_recv().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_is_looked_for_until_its_owner_is_known() {
        // When it is known enough; how often it was asked for until then; what is known then.
        for (knows, asked_then, reference) in [
            ([1, 1, 1], 1, Some("i:1")),
            ([2, 4, 9], 4, Some("i:1")),
            ([1, 99, 99], 7, None),
            ([99, 99, 99], 7, None),
        ] {
            let (service, asked, woken) = service(knows);
            let (_slots, question) = asked_for();
            let slot = Arc::clone(&question.slot);
            let began = Instant::now();
            service.answer(question).await;
            assert!(began.elapsed() <= Options::default().patience, "{knows:?}");
            assert!(!slot.is_open());
            assert_eq!(asked.load(Ordering::Relaxed), asked_then, "{knows:?}");
            assert_eq!(woken.load(Ordering::Relaxed), 1);
            let found = slot.container().and_then(|c| c.image.reference.clone());
            assert_eq!(found.as_deref(), reference, "{knows:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_is_learnt_and_what_was_known_stays() {
        let (service, asked, _) = service([1, 1, 2]);
        let (_slots, question) = asked_for();
        let slot = Arc::clone(&question.slot);
        service.answer(question).await;
        let ip = || slot.container().and_then(|c| c.ip.clone());
        assert_eq!(ip(), None);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(ip().as_deref(), Some("10.0.0.1"));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1 + LATER.len(), "and then left alone");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_looks_for_what_nobody_has() {
        let (service, asked, _) = service([1, 1, 1]);
        let (slots, question) = asked_for();
        service.answer(question).await;
        drop(slots);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_that_cannot_be_looked_for_is_settled_at_once() {
        let (service, asked, woken) = service([1, 1, 1]);
        let (sender, mut questions) = channel(1);
        let mut slots = Slots::new(8, Some(sender));
        let slot = slots.of(b"..");
        slots.ask(&slot, b"/a/..");
        service.answer(questions.try_recv().unwrap()).await;
        assert!(!slot.is_open());
        assert_eq!((asked.load(Ordering::Relaxed), woken.load(Ordering::Relaxed)), (0, 1));
    }
}
