use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::{detection::Detection, metrics::JournalCounters, rules::Priority};

fn detection(tenant: &str, number: u64) -> Detection {
    Detection {
        time_ns: 1_000_000_000 + number,
        rule: format!("rule-{}", number % 3).into(),
        priority: Priority::Warning,
        source: "syscall",
        tags: Arc::from([]),
        message: String::new(),
        output_fields: Vec::new(),
        incomplete_fields: Vec::new(),
        uuid: uuid::Uuid::new_v4(),
        tenant: tenant.into(),
        namespace: (number.is_multiple_of(2)).then(|| "shop".into()),
        ancestors: Vec::new(),
        correlation: None,
    }
}

struct Kept {
    dir: tempfile::TempDir,
    counters: Arc<JournalCounters>,
    settings: Settings,
}

impl Kept {
    fn new(change: impl FnOnce(&mut Settings)) -> Kept {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings { path: dir.path().join("sub/journal.db"), ..Settings::default() };
        change(&mut settings);
        Kept { dir, counters: Arc::new(JournalCounters::new().unwrap()), settings }
    }

    fn open(&self) -> Journal {
        Journal::new(self.settings.clone(), Arc::clone(&self.counters), Arc::default())
    }

    fn lines(&self, filter: &Filter) -> Vec<String> {
        let mut lines = Vec::new();
        let reader = Reader::open(&self.settings.path).unwrap();
        reader
            .lines(filter, 0, i64::MAX, &mut |line| {
                lines.push(line.to_owned());
                true
            })
            .unwrap();
        lines
    }

    fn removed(&self, tenant: &str, bound: Bound) -> u64 {
        self.counters.removals(tenant, bound)
    }
}

/// Appends detections of a tenant with lines of a size, each by itself; whether all were written.
fn append(journal: &mut Journal, tenant: &str, numbers: std::ops::Range<u64>, size: usize) -> bool {
    let mut all = true;
    for number in numbers {
        let detection = detection(tenant, number);
        let line = format!("{{\"n\":{number},\"tenant\":\"{tenant}\",\"x\":\"{}\"}}", "x".repeat(size));
        all &= journal.append([(&detection, line.as_str())].into_iter());
    }
    all
}

fn number(line: &str) -> u64 {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["n"].as_u64().unwrap()
}

#[test]
fn no_more_goes_than_must() {
    let kept = Kept::new(|settings| {
        settings.max_size = 1 << 20;
        settings.shares.insert("shop".into(), 0.1);
    });
    let mut journal = kept.open();
    assert!(append(&mut journal, "shop", 0..400, 100));
    let lines = kept.lines(&Filter::default());
    let weight: usize = lines.iter().map(|line| line.len() + 256).sum();
    let (bound, heaviest) = ((1 << 20) / 10, 256 + 200);
    assert!(weight <= bound && weight + heaviest > bound, "{weight} of {bound}");
    assert_eq!(kept.removed("shop", Bound::Share) as usize, 400 - lines.len());
    assert_eq!(kept.counters.size_of("shop") as usize, weight);
    assert_eq!(lines.last().map(|line| number(line)), Some(399));
}

#[test]
fn a_file_of_the_first_version_is_migrated() {
    let kept = Kept::new(|_| {});
    drop(kept.open());
    // As the first version wrote it.
    let connection = rusqlite::Connection::open(&kept.settings.path).unwrap();
    connection
        .execute_batch(
            "DROP TABLE detections; DROP TABLE tenants; DROP TABLE cursors; DROP TABLE rejected;
             CREATE TABLE detections (id INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL,
                 written_ns INTEGER NOT NULL, tenant TEXT NOT NULL, namespace TEXT, rule TEXT NOT NULL,
                 priority INTEGER NOT NULL, source TEXT NOT NULL, uuid BLOB NOT NULL, weight INTEGER NOT NULL,
                 line TEXT NOT NULL) STRICT;
             CREATE INDEX detections_by_tenant ON detections (tenant, id);
             CREATE INDEX detections_by_time ON detections (time_ns);
             CREATE INDEX detections_by_rule ON detections (rule, time_ns);
             INSERT INTO detections (time_ns, written_ns, tenant, rule, priority, source, uuid, weight, line) VALUES
                 (1, 9000000000000000000, 'a', 'r', 1, 's', x'00', 1, '{\"n\":1}'),
                 (2, 9000000000000000000, 'b', 'r', 1, 's', x'00', 1, '{\"n\":2}'),
                 (3, 9000000000000000000, 'a', 'r', 1, 's', x'00', 1, '{\"n\":3}');
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(connection);
    assert_eq!(kept.lines(&Filter::default()).len(), 3, "it can be read as it is");
    let mut journal = kept.open();
    assert!(append(&mut journal, "a", 4..5, 1));
    let connection = open_beside(&kept.settings.path).unwrap();
    let numbers: Vec<(String, i64)> = connection
        .prepare("SELECT tenant, seq FROM detections ORDER BY id")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let expected = [("a", 1), ("b", 1), ("a", 2), ("a", 3)].map(|(tenant, seq)| (tenant.to_owned(), seq));
    assert_eq!(numbers, expected);
    assert_eq!(kept.lines(&Filter::default()).len(), 4);
}

#[test]
fn what_is_written_is_read_in_order_and_by_what_it_is() {
    let kept = Kept::new(|_| {});
    let mut journal = kept.open();
    assert!(kept.counters.is_up());
    assert!(append(&mut journal, "platform", 0..10, 1) && append(&mut journal, "shop", 10..16, 1));
    let all: Vec<u64> = kept.lines(&Filter::default()).iter().map(|line| number(line)).collect();
    assert_eq!(all, (0..16).collect::<Vec<_>>());
    let filtered = |filter: Filter| kept.lines(&filter).iter().map(|line| number(line)).collect::<Vec<_>>();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(filtered(Filter { tenant: text("shop"), ..Filter::default() }), [10, 11, 12, 13, 14, 15]);
    assert_eq!(
        filtered(Filter { rule: text("rule-1"), tenant: text("shop"), ..Filter::default() }),
        [10, 13]
    );
    assert_eq!(
        filtered(Filter { namespace: text("shop"), until_ns: Some(1_000_000_003), ..Filter::default() }),
        [0, 2]
    );
    assert_eq!(filtered(Filter { since_ns: Some(1_000_000_014), ..Filter::default() }), [14, 15]);
    assert_eq!(filtered(Filter { tenant: text("' OR 1=1 --"), ..Filter::default() }), [0; 0]);
    let reader = Reader::open(&kept.settings.path).unwrap();
    let at = reader.before_last(&Filter::default(), 15, 2).unwrap();
    let mut last = Vec::new();
    let end = reader
        .lines(&Filter::default(), at, 15, &mut |line| {
            last.push(number(line));
            true
        })
        .unwrap();
    assert_eq!((last, end, reader.last().unwrap()), (vec![13, 14], 15, 16));
    let none = Filter { tenant: text("none"), ..Filter::default() };
    assert_eq!(reader.lines(&none, 3, 16, &mut |_| true).unwrap(), 16, "it need not be looked at again");
    assert_eq!(reader.lines(&Filter::default(), 3, 16, &mut |_| false).unwrap(), 4, "nobody wants more");
    let stats = reader.stats().unwrap();
    assert_eq!((stats.detections, stats.size), (16, kept.counters.current_size()));
    let tenants: Vec<_> = stats.tenants.iter().map(|t| (t.tenant.as_str(), t.detections)).collect();
    assert_eq!(tenants, [("platform", 10), ("shop", 6)]);
    assert_eq!(stats.oldest.as_deref(), Some("1970-01-01T00:00:01.000000000Z"));
    assert_eq!(kept.counters.all_written(), 16);
}

/// With thousands of them.
fn many(kept: &Kept) -> Journal {
    let mut journal = kept.open();
    let detections: Vec<(Detection, String)> =
        (0..3500).map(|number| (detection("platform", number), format!("{{\"n\":{number}}}"))).collect();
    assert!(journal.append(detections.iter().map(|(detection, line)| (detection, line.as_str()))));
    journal
}

#[test]
fn whoever_reads_slowly_keeps_no_log_from_being_cut() {
    let kept = Kept::new(|_| {});
    let _journal = many(&kept);
    let writer = open_beside(&kept.settings.path).unwrap();
    let mut read = 0;
    let reader = Reader::open(&kept.settings.path).unwrap();
    reader
        .lines(&Filter::default(), 0, i64::MAX, &mut |_| {
            // As often as it takes to be in the middle of everything once.
            if read % 499 == 0 {
                writer.execute_batch("UPDATE tenants SET last_seq = last_seq").unwrap();
                let cut = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
                // The check of the start may; it ends. This reader would not.
                assert_eq!(cut.unwrap(), 0, "somebody reads in it, at line {read}");
            }
            read += 1;
            true
        })
        .unwrap();
    assert_eq!(read, 3500);
}

#[test]
fn what_is_removed_while_somebody_reads_is_left_out_and_the_rest_is_in_order() {
    let kept = Kept::new(|_| {});
    let _journal = many(&kept);
    let writer = open_beside(&kept.settings.path).unwrap();
    let mut read = Vec::new();
    let reader = Reader::open(&kept.settings.path).unwrap();
    reader
        .lines(&Filter::default(), 0, i64::MAX, &mut |line| {
            read.push(number(line));
            // What was read, what is next, and the last.
            if read.len() == 1500 {
                writer.execute("DELETE FROM detections WHERE id <= 2700 OR id > 3400", []).unwrap();
            }
            true
        })
        .unwrap();
    assert_eq!(read, (0..1500).chain(2700..3400).collect::<Vec<_>>());
}

#[test]
fn it_goes_on_where_it_was() {
    let kept = Kept::new(|_| {});
    append(&mut kept.open(), "platform", 0..5, 10);
    let size = kept.counters.current_size();
    let mut journal = kept.open();
    assert_eq!(kept.counters.current_size(), size, "what is there is counted");
    append(&mut journal, "platform", 5..6, 10);
    assert_eq!(kept.lines(&Filter::default()).len(), 6);
}

#[test]
fn a_flood_costs_its_own_tenant_only_and_is_counted() {
    let kept = Kept::new(|settings| {
        settings.max_size = 1 << 20;
        settings.shares = [("loud".to_owned(), 0.25)].into();
    });
    let mut journal = kept.open();
    append(&mut journal, "quiet", 0..100, 1000);
    append(&mut journal, "loud", 0..2000, 1000);
    let of = |tenant: &str| -> Vec<u64> {
        let filter = Filter { tenant: Some(tenant.into()), ..Filter::default() };
        kept.lines(&filter).iter().map(|line| number(line)).collect()
    };
    assert_eq!(of("quiet"), (0..100).collect::<Vec<_>>(), "nothing of it is gone");
    let loud = of("loud");
    assert_eq!(loud.last(), Some(&1999));
    assert!(loud.windows(2).all(|pair| pair[0] + 1 == pair[1]), "the oldest went");
    assert_eq!(kept.removed("loud", Bound::Share), 2000 - loud.len() as u64);
    assert_eq!((kept.removed("quiet", Bound::Share), kept.removed("loud", Bound::Size)), (0, 0));
    assert!(kept.counters.current_size() <= 1 << 20);
    // Several together are too many: the largest pays.
    append(&mut journal, "third", 0..390, 1000);
    append(&mut journal, "fourth", 0..390, 1000);
    assert!(kept.counters.current_size() <= 1 << 20);
    assert!(kept.removed("third", Bound::Size) + kept.removed("fourth", Bound::Size) > 0);
    assert_eq!(of("quiet").len(), 100);
}

#[test]
fn what_is_too_old_goes() {
    let kept = Kept::new(|_| {});
    let mut journal = kept.open();
    append(&mut journal, "platform", 0..1200, 1);
    journal.expire(0);
    assert_eq!(kept.lines(&Filter::default()).len(), 1200);
    journal.expire(i64::MAX);
    assert_eq!(kept.lines(&Filter::default()).len(), 0);
    assert_eq!((kept.removed("platform", Bound::Age), kept.counters.current_size()), (1200, 0));
}

#[test]
fn a_damaged_file_is_set_aside_and_never_deleted() {
    for damage in ["garbage", "middle"] {
        let kept = Kept::new(|_| {});
        append(&mut kept.open(), "platform", 0..2000, 100);
        let path = &kept.settings.path;
        // The check of the start may still have it open: whoever closes it last writes back what is in the log.
        let log = path.with_file_name("journal.db-wal");
        let end = Instant::now() + Duration::from_secs(60);
        while log.exists() {
            assert!(Instant::now() < end, "{damage}: somebody keeps it open");
            drop(open_beside(path).unwrap());
        }
        let mut bytes = fs::read(path).unwrap();
        match damage {
            "garbage" => bytes = b"this is no database, whatever its name says".repeat(100),
            // Pages of the table that nothing reads at the start: the check beside finds it.
            _ => bytes[8192..40_960].fill(0xa5),
        }
        fs::write(path, &bytes).unwrap();
        let mut journal = kept.open();
        let end = Instant::now() + Duration::from_secs(60);
        while kept.counters.all_set_aside() == 0 {
            assert!(Instant::now() < end, "{damage}: nobody has noticed");
            thread::sleep(Duration::from_millis(5));
            journal.tidy();
        }
        assert!(append(&mut journal, "platform", 0..3, 1) && kept.counters.is_up());
        assert_eq!((kept.counters.all_set_aside(), kept.lines(&Filter::default()).len()), (1, 3), "{damage}");
        let folder = kept.dir.path().join("sub");
        let names: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let aside = |name: &&String| {
            name.starts_with("journal.db.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
        };
        let aside = names.iter().find(aside).unwrap_or_else(|| panic!("{names:?}"));
        assert_eq!(fs::read(folder.join(aside)).unwrap(), bytes);
    }
}

#[test]
fn nobody_else_reads_it() {
    let kept = Kept::new(|_| {});
    let mut journal = kept.open();
    assert!(append(&mut journal, "platform", 0..3, 1));
    let folder = kept.dir.path().join("sub");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "the write-ahead log and its index too: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn what_is_asked_for_often_is_read_from_indexes() {
    let kept = Kept::new(|_| {});
    drop(kept.open());
    let connection = open_beside(&kept.settings.path).unwrap();
    let plan = |sql: &str| -> String {
        // As with parameters, whose values a plan does not depend on.
        let sql = sql.replace("?1", "1000").replace("?2", "500");
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map([], |row| row.get::<_, String>("detail")).unwrap();
        steps.map(|step| step.unwrap() + "\n").collect()
    };
    let (detections, rejected) = (&retention::DETECTIONS, &retention::REJECTED);
    let expected = [
        (detections.usage, "SCAN detections USING COVERING INDEX detections_by_tenant"),
        (detections.expire, "SEARCH detections USING COVERING INDEX detections_by_writing (written_ns<?)"),
        (rejected.usage, "SCAN rejected USING COVERING INDEX rejected_by_writing"),
        (rejected.expire, "SEARCH rejected USING COVERING INDEX rejected_by_writing (written_ns<?)"),
    ];
    for (sql, step) in expected {
        let plan = plan(sql);
        assert!(plan.contains(step) && !plan.contains("ORDER BY"), "{sql}\n{plan}");
    }
}

#[test]
fn what_is_too_old_goes_though_the_clock_was_set_back_after_what_is_before_it() {
    let kept = Kept::new(|_| {});
    let mut journal = kept.open();
    append(&mut journal, "platform", 0..1200, 1);
    // The first ones of a clock that was a year ahead.
    let ahead = "UPDATE detections SET written_ns = written_ns + 31536000000000000 WHERE id <= 600";
    journal.connection().execute(ahead, []).unwrap();
    let half_a_year = std::time::SystemTime::now() + Duration::from_secs(182 * 86_400);
    let half_a_year = half_a_year.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    journal.expire(i64::try_from(half_a_year).unwrap());
    let left: Vec<u64> = kept.lines(&Filter::default()).iter().map(|line| number(line)).collect();
    assert_eq!(left, (0..600).collect::<Vec<_>>());
    assert_eq!(kept.removed("platform", Bound::Age), 600);
}

#[test]
fn what_could_not_be_removed_is_not_counted_as_removed() {
    let kept = Kept::new(|_| {});
    let mut journal = kept.open();
    append(&mut journal, "platform", 0..20, 100);
    let size = kept.counters.current_size();
    // The last one cannot go: that is looked at when the transaction ends, after all rows were told of.
    journal
        .connection()
        .execute_batch(
            "PRAGMA foreign_keys = ON;
             CREATE TABLE pins (id REFERENCES detections (id) DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO pins VALUES (20);",
        )
        .unwrap();
    for _ in 0..3 {
        journal.expire(i64::MAX);
        assert_eq!(kept.lines(&Filter::default()).len(), 20, "nothing is removed");
        assert_eq!((kept.removed("platform", Bound::Age), kept.counters.current_size()), (0, size));
    }
    journal.connection().execute_batch("DELETE FROM pins").unwrap();
    journal.expire(i64::MAX);
    assert_eq!((kept.removed("platform", Bound::Age), kept.counters.current_size()), (20, 0));
}

#[test]
fn a_full_disk_has_room_again_once_something_is_too_old_though_detections_never_pause() {
    let kept = Kept::new(|settings| settings.max_age = Duration::ZERO);
    let mut journal = kept.open();
    journal.tidy_later();
    journal.limit_pages(60);
    let mut written = 0;
    while append(&mut journal, "platform", written..written + 1, 1000) {
        written += 1;
        assert!(written < 1000, "it never fills");
    }
    assert!(!append(&mut journal, "platform", 0..1, 1000), "it is not looked for each time");
    assert_eq!(kept.removed("platform", Bound::Age), 0);
    journal.tidy_at_once();
    assert!(!append(&mut journal, "platform", 0..1, 1000));
    assert_eq!(kept.removed("platform", Bound::Age), written);
    assert!(append(&mut journal, "platform", 0..1, 1000), "there is room");
}

/// As a sink's lane sets aside what its receiver refuses.
fn reject(kept: &Kept, sink: &str, tenant: &str, seqs: std::ops::Range<i64>, written_ns: i64, weight: i64) {
    let connection = open_beside(&kept.settings.path).unwrap();
    let sql = "INSERT INTO rejected VALUES (?1, ?2, ?3, ?4, ?5, 'no', '{}')";
    for seq in seqs {
        connection.execute(sql, rusqlite::params![sink, tenant, seq, written_ns + seq, weight]).unwrap();
    }
}

fn rejected(kept: &Kept, sink: &str, tenant: &str) -> Vec<i64> {
    let connection = open_beside(&kept.settings.path).unwrap();
    let sql = "SELECT seq FROM rejected WHERE sink = ?1 AND tenant = ?2 ORDER BY seq";
    let mut statement = connection.prepare(sql).unwrap();
    let seqs = statement.query_map([sink, tenant], |row| row.get(0)).unwrap();
    seqs.collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_receivers_refused_goes_by_age_also_of_a_sink_that_is_no_more() {
    let kept = Kept::new(|_| {});
    let mut journal = kept.open();
    reject(&kept, "gone", "platform", 0..700, 1000, 10);
    reject(&kept, "hook", "shop", 0..5, 5000, 10);
    journal.expire(5002);
    assert_eq!(rejected(&kept, "gone", "platform"), [0; 0]);
    assert_eq!(rejected(&kept, "hook", "shop"), [2, 3, 4]);
    let removed = |tenant: &str| kept.counters.rejected_removals(tenant, Bound::Age);
    assert_eq!((removed("platform"), removed("shop")), (700, 2));
}

#[test]
fn what_receivers_refused_is_bounded_by_what_it_weighs() {
    // A sixteenth: 64 KiB, and 32 KiB of each tenant.
    let kept = Kept::new(|settings| settings.max_size = 1 << 20);
    let mut journal = kept.open();
    reject(&kept, "hook", "loud", 0..50, 1000, 1024);
    reject(&kept, "old", "loud", 0..3, 0, 1024);
    reject(&kept, "hook", "quiet", 0..20, 0, 1024);
    reject(&kept, "hook", "third", 0..25, 0, 1024);
    journal.expire(0);
    let removed = |tenant: &str, bound: Bound| kept.counters.rejected_removals(tenant, bound);
    assert_eq!(removed("loud", Bound::Share), 21);
    assert_eq!(rejected(&kept, "hook", "quiet"), (0..20).collect::<Vec<_>>(), "nothing of it is gone");
    // 32, 20 and 25 were left: whoever has most pays.
    assert_eq!(removed("loud", Bound::Size) + removed("third", Bound::Size), 13);
    let left = rejected(&kept, "hook", "loud");
    assert!(rejected(&kept, "old", "loud").is_empty() && left.last() == Some(&49), "the oldest go first");
    assert!(left.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{left:?}");
    assert_eq!(removed("quiet", Bound::Size), 0);
    journal.expire(0);
    assert_eq!(rejected(&kept, "hook", "loud"), left, "it is enough");
}

#[test]
fn damaged_files_of_one_moment_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let named = |end: &str| folder.path().join(format!("journal.db{end}"));
    let mut expected = Vec::new();
    for number in 0..20 {
        for end in ["", "-wal", "-shm"] {
            // Some have only a part of them.
            if end.is_empty() || number % 3 != 0 {
                let text = format!("{number}{end}");
                fs::write(named(end), &text).unwrap();
                expected.push((text, end));
            }
        }
        set_aside(&path).unwrap();
        assert!(!path.exists() && !named("-wal").exists() && !named("-shm").exists());
    }
    let mut kept: Vec<(String, String)> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (fs::read_to_string(entry.path()).unwrap(), entry.file_name().into_string().unwrap()))
        .collect();
    kept.sort();
    expected.sort();
    assert_eq!(kept.len(), expected.len(), "{kept:?}");
    for ((text, name), (written, end)) in kept.iter().zip(&expected) {
        assert!(
            text == written && name.starts_with("journal.db.damaged-") && name.ends_with(end),
            "{kept:?}"
        );
    }
    // What belongs together has one name.
    let name = |text: &str| kept.iter().find(|(own, _)| own == text).unwrap().1.clone();
    for number in (0..20).filter(|number| number % 3 != 0) {
        let own = name(&number.to_string());
        assert_eq!(name(&format!("{number}-wal")), format!("{own}-wal"));
        assert_eq!(name(&format!("{number}-shm")), format!("{own}-shm"));
    }
}

#[test]
fn a_newer_file_is_left_alone() {
    let kept = Kept::new(|_| {});
    append(&mut kept.open(), "platform", 0..3, 1);
    rusqlite::Connection::open(&kept.settings.path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let mut journal = kept.open();
    assert!(!append(&mut journal, "platform", 3..5, 1));
    assert!(!kept.counters.is_up());
    assert_eq!(kept.counters.failures().first(), Some(&("closed", 2)));
    assert_eq!(Reader::open(&kept.settings.path).unwrap_err().reason(), "newer");
    assert_eq!(
        fs::read_dir(kept.dir.path().join("sub"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("damaged"))
            .count(),
        0
    );
}

#[test]
fn a_full_disk_loses_what_comes_and_nothing_that_is_there() {
    let kept = Kept::new(|_| {});
    let mut journal = kept.open();
    assert!(append(&mut journal, "platform", 0..20, 1000));
    journal.limit_pages(30);
    let mut written = 20;
    while append(&mut journal, "platform", written..written + 1, 1000) {
        written += 1;
        assert!(written < 1000, "it never fills");
    }
    assert_eq!(kept.counters.failures()[1], ("disk_full", 1));
    assert!(!append(&mut journal, "platform", written..written + 1, 1000));
    let numbers: Vec<u64> = kept.lines(&Filter::default()).iter().map(|line| number(line)).collect();
    assert_eq!(numbers, (0..written).collect::<Vec<_>>());
    // There is room again.
    journal.limit_pages(10_000);
    assert!(append(&mut journal, "platform", written..written + 5, 1000));
    assert_eq!(kept.counters.all_written(), written + 5);
}

#[test]
fn a_folder_that_cannot_be_made_is_tried_again() {
    let kept = Kept::new(|_| {});
    fs::write(kept.dir.path().join("sub"), "a file in the way").unwrap();
    let mut journal = kept.open();
    assert!(!append(&mut journal, "platform", 0..1, 1) && !kept.counters.is_up());
    fs::remove_file(kept.dir.path().join("sub")).unwrap();
    journal.retry_at_once();
    assert!(append(&mut journal, "platform", 1..2, 1) && kept.counters.is_up());
    assert_eq!(kept.lines(&Filter::default()).iter().map(|line| number(line)).collect::<Vec<_>>(), [1]);
}

#[test]
fn an_age_is_looked_at_once_in_a_while() {
    let kept = Kept::new(|settings| settings.max_age = Duration::from_secs(60));
    let mut journal = kept.open();
    append(&mut journal, "platform", 0..5, 1);
    journal.tidy();
    assert_eq!(kept.lines(&Filter::default()).len(), 5, "they are young");
}
