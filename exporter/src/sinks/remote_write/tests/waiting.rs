//! What waits, and what is dropped of it.

use super::*;

/// A lane that nobody sends from.
fn lane(path: PathBuf, bounds: Bounds, metrics: &WriteMetrics) -> Lane {
    let mut spool = Spool::new(path, metrics.clone());
    spool.opens();
    lane_with(Arc::new(Mutex::new(spool)), bounds, metrics)
}

fn lane_with(spool: Arc<Mutex<Spool>>, bounds: Bounds, metrics: &WriteMetrics) -> Lane {
    let lane = Lane::new(Parts {
        sink: "rw".into(),
        tenant: "shop".into(),
        route: settings("http://r/".parse().unwrap()).route("shop").unwrap(),
        pace: Pace::default(),
        version: Version::One,
        bounds,
        external: BTreeMap::new(),
        spool,
    });
    metrics.add(Arc::clone(&lane.counters));
    lane.resume();
    lane
}

/// As many series, with values that do not compress.
fn many(count: usize, seed: usize) -> Vec<Series> {
    (0..count)
        .map(|n| one_series(&[("__name__", "m"), ("n", &n.to_string())], ((seed * 7919 + n) as f64).sqrt()))
        .collect()
}

fn balance(metrics: &WriteMetrics) -> WriteBalance {
    let balance = metrics.balances().remove(0);
    let WriteBalance { resumed, gathered, sent, rejected, dropped, pending, .. } = balance;
    assert_eq!(resumed + gathered, sent + rejected + dropped + pending, "{balance:?}");
    balance
}

fn first(lane: &Lane) -> Option<queue::Request> {
    match lane.first() {
        First::Request(request) => Some(request),
        First::Nothing => None,
        First::Unreadable => panic!("it can be read"),
    }
}

#[test]
fn bounds_drop_the_oldest_and_count_it() {
    let folder = tempfile::tempdir().unwrap();
    let now = lane::now_ms();
    for (at, bounds) in [
        Bounds { max_size: 40_000, ..Bounds::default() },
        Bounds { max_age: Duration::from_secs(750), ..Bounds::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let metrics = WriteMetrics::default();
        let lane = lane(folder.path().join(format!("{at}.db")), bounds, &metrics);
        let times: Vec<i64> = (0..30).map(|n| now - 900_000 + n * 30_000).collect();
        for (n, time) in times.iter().enumerate() {
            lane.take(many(200, n), *time);
        }
        let mut left = Vec::new();
        while let Some(request) = first(&lane) {
            left.push(request.time_ms);
            lane.done(request.samples, 0);
        }
        let end = balance(&metrics);
        assert_eq!((end.gathered, end.pending, end.sent), (6000, 0, left.len() as u64 * 200));
        assert!(end.dropped > 0 && !left.is_empty(), "{end:?}");
        assert_eq!(left, times[times.len() - left.len()..]);
    }
}

#[test]
fn a_large_gathering_is_several_requests() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = WriteMetrics::default();
    let lane = lane(folder.path().join("x.db"), Bounds::default(), &metrics);
    lane.take(many(4500, 1), lane::now_ms());
    let mut sizes = Vec::new();
    while let Some(request) = first(&lane) {
        assert_eq!(samples(&request.body).len() as u64, request.samples);
        sizes.push(request.samples);
        lane.done(request.samples, 0);
    }
    assert_eq!(sizes, [2000, 2000, 500]);
}

#[test]
fn times_go_on_though_the_clock_goes_back_and_the_daemon_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let now = lane::now_ms();
    let mut times = Vec::new();
    for clocks in [[now, now - 5_000, now], [now - 60_000, now + 1, now + 10]] {
        let lane = lane(path.clone(), Bounds::default(), &WriteMetrics::default());
        for clock in clocks {
            lane.take(many(1, 1), clock);
            let request = first(&lane).unwrap();
            times.push(request.time_ms - now);
            lane.done(1, 0);
        }
    }
    assert_eq!(times, [0, 1, 2, 3, 4, 10]);
}

#[test]
fn a_clock_that_was_far_ahead_is_not_kept_to() {
    const HOUR: i64 = 3600 * 1000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let now = lane::now_ms();
    // By a clock of another year, before the next start too, and by one that was an hour ahead.
    for (ahead, expected) in [(14 * 365 * 24 * HOUR, 0), (HOUR, HOUR + 1)] {
        for (clock, expected) in [(now + ahead, ahead), (now, expected)] {
            let lane = lane(path.clone(), Bounds::default(), &WriteMetrics::default());
            lane.take(many(1, 1), clock);
            assert_eq!(first(&lane).unwrap().time_ms - now, expected);
            lane.done(1, 0);
        }
    }
}

#[test]
fn what_is_being_sent_is_not_dropped_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = WriteMetrics::default();
    let bounds = Bounds { max_size: 10_000, ..Bounds::default() };
    let lane = lane(folder.path().join("x.db"), bounds, &metrics);
    let now = lane::now_ms();
    lane.take(many(100, 0), now);
    let request = first(&lane).unwrap();
    (1..50).for_each(|n| lane.take(many(100, n), now + n as i64));
    assert!(balance(&metrics).dropped > 0);
    lane.failed();
    // It is the oldest now, and goes with the next one that comes.
    lane.take(many(100, 51), now + 100);
    assert_ne!(first(&lane).unwrap().time_ms, request.time_ms);
    lane.done(100, 0);
    assert_eq!(balance(&metrics).sent, 100);
}

#[test]
fn without_a_file_memory_keeps_a_little() {
    let metrics = WriteMetrics::default();
    let lane = lane("/proc/none/remote-write.db".into(), Bounds::default(), &metrics);
    let now = lane::now_ms();
    assert_eq!(metrics.spool_failures(), 1);
    for n in 0..200 {
        lane.take(many(2000, n), now + n as i64);
    }
    let kept = balance(&metrics);
    assert!(kept.dropped > 0 && kept.pending > 0, "{kept:?}");
    assert!(lane.counters.numbers().spooled_bytes <= 2 << 20);
    let request = first(&lane).unwrap();
    assert_eq!(request.samples, 2000);
    lane.done(2000, 0);
    lane.close();
    let end = balance(&metrics);
    assert_eq!((end.sent, end.pending), (2000, 0), "what is in memory ends with the daemon");
}

#[test]
fn what_a_full_disk_does_not_take_waits_in_memory_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let metrics = WriteMetrics::default();
    let mut file = Spool::new(path.clone(), metrics.clone());
    file.opens();
    let spool = Arc::new(Mutex::new(file));
    let limit = |pages| spool.lock().unwrap().with(|disk| disk.limit_pages(pages));
    let lane = lane_with(Arc::clone(&spool), Bounds::default(), &metrics);
    let now = lane::now_ms();
    for n in 0..30_i64 {
        match n {
            5 => limit(1),
            20 => limit(1 << 20),
            _ => Some(()),
        }
        .unwrap();
        lane.take(many(300, n as usize), now + n);
    }
    assert!(metrics.spool_failures() > 0);
    assert_eq!((balance(&metrics).pending, balance(&metrics).dropped), (9000, 0));
    for n in 0..10 {
        assert_eq!(first(&lane).unwrap().time_ms, now + n);
        lane.done(300, 0);
    }
    drop((lane, spool));
    // The rest is on disk, in order.
    let metrics = WriteMetrics::default();
    let lane = self::lane(path, Bounds::default(), &metrics);
    assert_eq!(balance(&metrics).resumed, 6000);
    for n in 10..30 {
        assert_eq!(first(&lane).unwrap().time_ms, now + n);
        lane.done(300, 0);
    }
    assert_eq!(balance(&metrics).sent, 6000);
}

#[test]
fn a_damaged_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let metrics = WriteMetrics::default();
    let lane = lane(path, Bounds::default(), &metrics);
    lane.take(many(5, 1), lane::now_ms());
    lane.close();
    assert_eq!((balance(&metrics).pending, metrics.spool_failures()), (5, 1));
    let names = std::fs::read_dir(folder.path()).unwrap();
    let aside = names.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(".damaged-"));
    assert_eq!(aside.count(), 1);
}

#[tokio::test]
async fn samples_of_those_who_are_no_longer_configured_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remote-write.db");
    let metrics = WriteMetrics::default();
    // Of a sink `rw` and a tenant `shop`.
    lane(path.clone(), Bounds::default(), &metrics).take(many(5, 1), lane::now_ms());
    let mut disk = disk::Disk::open(&path).unwrap();
    assert_eq!(disk.keep_only(&[("rw", "shop"), ("rw", "platform")]).unwrap(), 0);
    assert_eq!(disk.keep_only(&[("other", "shop")]).unwrap(), 5);
    assert_eq!(disk.kept(("rw", "shop")).unwrap(), []);
}
