//! Detections as lines on standard output.
//!
//! A thread of its own: a reader that is slow, or gone, slows nobody but this thread. It writes whole lines;
//! a line torn by an error is ended before the next one begins.

use std::{
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::Histogram;
use rustix::event::{PollFd, PollFlags, poll};

use super::queue::Receiver;
use crate::{
    detection::{Detection, Formatter},
    metrics::SinkCounters,
};

/// Most detections written at once.
const BATCH: usize = 64;
/// At most one log line about write errors in this time.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Why the sink ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The queue ended and everything in it was dealt with.
    Drained,
    /// The reader is gone for good.
    Closed,
}

#[derive(Debug)]
pub struct StdoutSink<W> {
    out: W,
    formatter: Formatter,
    counters: Arc<SinkCounters>,
    latency: Histogram,
    lines: Vec<u8>,
    /// The last byte written was not a newline.
    torn: bool,
    logged: Option<std::time::Instant>,
}

impl<W: Write + AsFd> StdoutSink<W> {
    /// `out` must not buffer.
    pub fn new(out: W, formatter: Formatter, counters: Arc<SinkCounters>, latency: Histogram) -> Self {
        StdoutSink { out, formatter, counters, latency, lines: Vec::new(), torn: false, logged: None }
    }

    /// Writes until the queue ends.
    pub fn run(mut self, queue: &Receiver) -> End {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.receive(&mut batch, BATCH) {
            let result = self.write(&batch);
            batch.clear();
            if let Err(error) = result {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    return End::Closed;
                }
                self.log(&error);
            }
        }
        End::Drained
    }

    fn write(&mut self, batch: &[Detection]) -> io::Result<()> {
        self.lines.clear();
        if self.torn {
            self.lines.push(b'\n');
        }
        let mut ends = Vec::with_capacity(batch.len());
        for detection in batch {
            self.formatter.line(detection, &mut self.lines);
            ends.push(self.lines.len());
        }
        let (written, result) = write_all(&mut self.out, &self.lines);
        if let Some(last) = written.checked_sub(1).and_then(|last| self.lines.get(last)) {
            self.torn = *last != b'\n';
        }
        // One huge detection must not pin its memory for ever.
        self.lines.clear();
        self.lines.shrink_to(64 << 10);
        let whole = ends.iter().filter(|end| **end <= written).count();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        for detection in batch.iter().take(whole) {
            let latency = now.saturating_sub(u128::from(detection.time_ns));
            self.latency.observe(latency as f64 / 1e9);
        }
        self.counters.delivered.add(whole as u64);
        self.counters.write_error.add((batch.len() - whole) as u64);
        result
    }

    fn log(&mut self, error: &io::Error) {
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
            self.logged = Some(std::time::Instant::now());
            let lost = self.counters.write_error.get();
            tracing::error!(%error, lost, "cannot write detections to stdout");
        }
    }
}

/// As `Write::write_all`, but says how much was written, and waits where stdout is non-blocking (it shares
/// that flag with whoever gave it to us).
fn write_all(out: &mut (impl Write + AsFd), bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Err(error) = wait_writable(out.as_fd()) {
                    return (written, Err(error));
                }
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

fn wait_writable(fd: BorrowedFd<'_>) -> io::Result<()> {
    match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use prometheus::HistogramOpts;

    use super::*;
    use crate::{
        config::{Config, Format},
        detection::Identity,
        rules::Priority,
        sinks::queue::{Sender, queue},
    };

    fn sink<W: Write + AsFd>(out: W) -> (StdoutSink<W>, Arc<SinkCounters>) {
        let identity = Identity { hostname: "h".into(), node: "n".into(), cluster: "c".into() };
        let output = crate::config::OutputConfig {
            format: Format::Text,
            time_iso8601: true,
            ..Config::default().output
        };
        let counters = Arc::new(SinkCounters::default());
        let latency = Histogram::with_opts(HistogramOpts::new("l", "l")).unwrap();
        (StdoutSink::new(out, Formatter::new(identity, output), Arc::clone(&counters), latency), counters)
    }

    fn send(sender: &Sender, message: &str) {
        let detection = Detection {
            time_ns: 0,
            rule: "r".into(),
            priority: Priority::Notice,
            source: "syscall",
            tags: Arc::from([]),
            message: message.into(),
            output_fields: Vec::new(),
            incomplete_fields: Vec::new(),
            uuid: uuid::Uuid::nil(),
            tenant: "platform".into(),
            namespace: None,
            ancestors: Vec::new(),
            correlation: None,
        };
        sender.try_send(detection).unwrap();
    }

    #[test]
    fn writes_every_line_in_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (sender, receiver) = queue(200);
        for i in 0..200 {
            send(&sender, &i.to_string());
        }
        drop(sender);
        let (sink, counters) = sink(writer);
        assert!(matches!(sink.run(&receiver), End::Drained));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let expected: String =
            (0..200).map(|i| format!("1970-01-01T00:00:00.000000000Z: Notice {i}\n")).collect();
        assert_eq!(text, expected);
        assert_eq!((counters.delivered.get(), counters.write_error.get()), (200, 0));
    }

    #[test]
    fn a_reader_that_is_gone_ends_it_and_is_counted() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let (sender, receiver) = queue(4);
        send(&sender, "a");
        send(&sender, "b");
        let (sink, counters) = sink(writer);
        assert!(matches!(sink.run(&receiver), End::Closed));
        assert_eq!((counters.delivered.get(), counters.write_error.get()), (0, 2));
    }

    #[test]
    fn a_full_disk_is_counted_and_survived() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (sender, receiver) = queue(4);
        send(&sender, "a");
        send(&sender, "b");
        drop(sender);
        let (sink, counters) = sink(full);
        assert!(matches!(sink.run(&receiver), End::Drained));
        assert_eq!((counters.delivered.get(), counters.write_error.get()), (0, 2));
    }

    /// Takes `room` bytes, fails once, then takes everything.
    struct Stutter {
        room: usize,
        failed: bool,
        written: Arc<std::sync::Mutex<Vec<u8>>>,
        fd: std::fs::File,
    }

    impl Write for Stutter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.written.lock().unwrap();
            let n = if self.failed { bytes.len() } else { bytes.len().min(self.room - written.len()) };
            if n == 0 {
                self.failed = true;
                return Err(io::ErrorKind::StorageFull.into());
            }
            written.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl AsFd for Stutter {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.fd.as_fd()
        }
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let written = Arc::default();
        let fd = std::fs::File::open("/dev/null").unwrap();
        let stutter = Stutter { room: 50, failed: false, written: Arc::clone(&written), fd };
        let (mut sink, counters) = sink(stutter);
        let prefix = "1970-01-01T00:00:00.000000000Z: Notice ";
        for messages in [["one", "two"], ["three", "four"]] {
            let (sender, receiver) = queue(4);
            messages.iter().for_each(|message| send(&sender, message));
            let mut batch = Vec::new();
            receiver.receive(&mut batch, BATCH);
            let _ = sink.write(&batch);
        }
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(text, format!("{prefix}one\n1970-01\n{prefix}three\n{prefix}four\n"));
        assert_eq!((counters.delivered.get(), counters.write_error.get()), (3, 1));
    }
}
