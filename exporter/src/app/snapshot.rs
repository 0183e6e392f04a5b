//! The process table in a recording: JSON in parts that fit into its frames.

use std::io;

use crate::enrich::snapshot::Snapshot;

/// A part is ended when it is this long. A process has at most a few times 16 KiB.
const PART: usize = 256 << 10;

/// Some processes as JSON.
#[derive(Debug)]
pub struct Part {
    pub count: u32,
    pub json: Vec<u8>,
}

/// Cuts a snapshot into parts, each a snapshot of its own.
pub fn parts(snapshot: &Snapshot) -> io::Result<Vec<Part>> {
    let Snapshot { boot_time_ns, host_mnt_ns, processes } = snapshot;
    let head = format!("{{\"boot_time_ns\":{boot_time_ns},\"host_mnt_ns\":{host_mnt_ns},\"processes\":[");
    let begin = || Part { count: 0, json: head.clone().into_bytes() };
    let (mut parts, mut part) = (Vec::new(), begin());
    for process in processes {
        if part.count > 0 {
            part.json.push(b',');
        }
        serde_json::to_writer(&mut part.json, process)?;
        part.count += 1;
        if part.json.len() >= PART {
            parts.push(std::mem::replace(&mut part, begin()));
        }
    }
    parts.push(part);
    for part in &mut parts {
        part.json.extend_from_slice(b"]}");
    }
    Ok(parts)
}

/// Adds a part to what was read of a snapshot so far.
pub fn add(snapshot: &mut Snapshot, json: &[u8]) -> serde_json::Result<()> {
    let Snapshot { boot_time_ns, host_mnt_ns, processes } = serde_json::from_slice(json)?;
    snapshot.boot_time_ns = boot_time_ns;
    snapshot.host_mnt_ns = host_mnt_ns;
    snapshot.processes.extend(processes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::snapshot::{ImageRecord, ProcessRecord};

    #[test]
    fn parts_make_the_whole_again() {
        for count in [0, 1, 200] {
            let processes = (0..count)
                .map(|pid| ProcessRecord {
                    pid,
                    comm: "x".into(),
                    image: Some(ImageRecord { args: Some("a ".repeat(4000)), ..Default::default() }),
                    ..Default::default()
                })
                .collect();
            let whole = Snapshot { boot_time_ns: 7, host_mnt_ns: 9, processes };
            let parts = parts(&whole).unwrap();
            assert_eq!(parts.iter().map(|part| part.count).sum::<u32>(), count);
            assert!(parts.iter().all(|part| part.json.len() < PART + (64 << 10)));
            let mut read = Snapshot::default();
            for part in &parts {
                add(&mut read, &part.json).unwrap();
            }
            assert_eq!(read, whole);
        }
    }
}
