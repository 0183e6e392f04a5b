//! What a behaviour reports: one JSON object a line on stdout; later lines add to earlier ones.

use serde_json::{Map, Value};

use crate::call::{Arg, call};

/// Facts, printed when [`Truth::print`] is called.
pub struct Truth(Map<String, Value>);

impl Truth {
    /// Begins with the ids of the caller: `pid` and `tid` as the proc file system's namespace (the test's)
    /// sees them, `vpid` as the process does.
    pub fn new() -> Truth {
        let mut truth = Truth(Map::new());
        match std::fs::read_link("/proc/thread-self") {
            Ok(thread) => {
                let mut parts = thread.to_str().expect("text").split('/');
                truth.put("pid", number(parts.next()));
                truth.put("tid", number(parts.nth(1)));
            }
            // Below a chroot: no behaviour has both that and a pid namespace of its own.
            Err(_) => {
                truth.put("pid", call(libc::SYS_getpid, []));
                truth.put("tid", call(libc::SYS_gettid, []));
            }
        }
        truth.put("vpid", call(libc::SYS_getpid, []));
        truth.put("vtid", call(libc::SYS_gettid, []));
        truth
    }

    /// Also the result of a call: `ret`, as the kernel gave it.
    pub fn of(ret: i64) -> Truth {
        let mut truth = Truth::new();
        truth.put("ret", ret);
        truth
    }

    pub fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    pub fn put_bytes(&mut self, key: &str, value: &[u8]) {
        self.put(key, escape(value));
    }

    pub fn print(&self) {
        let mut line = serde_json::to_vec(&self.0).expect("serialisable");
        line.push(b'\n');
        let length = line.len() as i64;
        call(libc::SYS_write, [Arg::Int(1), Arg::Buf(&mut line), Arg::Int(length)]);
    }
}

fn number(text: Option<&str>) -> i64 {
    text.and_then(|text| text.parse().ok()).expect("a number")
}

/// Bytes as text, those that are not UTF-8 as `\xNN`: the form tests use too.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}
