//! The ancestors of the process that a detection is about.

use std::sync::LazyLock;

use crate::{
    detection::Ancestor,
    fields::{FieldRef, Source, Subject, Value, scheme},
};

/// Most ancestors of a detection: a shell in a pod has about four, and a line must stay short.
const MOST: usize = 8;

/// `proc.apid`, `proc.aname` and `proc.aexepath` of each, the parent first.
static FIELDS: LazyLock<Vec<[FieldRef; 3]>> = LazyLock::new(|| {
    let of =
        |name: &str, depth: usize| scheme().resolve(Source::Syscall, name, Some(&depth.to_string())).ok();
    // In the scheme: a test asserts it.
    let all = |depth| Some([of("proc.apid", depth)?, of("proc.aname", depth)?, of("proc.aexepath", depth)?]);
    (1..=MOST).filter_map(all).collect()
});

/// Those that are known, the parent first; nothing of an event that no process made.
pub(super) fn ancestors(subject: &impl Subject) -> Vec<Ancestor> {
    if subject.source() != Source::Syscall {
        return Vec::new();
    }
    let one = |[pid, name, exepath]: &[FieldRef; 3]| {
        let Some(Value::Int(pid)) = subject.get(pid) else { return None };
        Some(Ancestor { pid, name: text(subject, name), exepath: text(subject, exepath) })
    };
    FIELDS.iter().map_while(one).collect()
}

fn text(subject: &impl Subject, field: &FieldRef) -> Option<Box<str>> {
    match subject.get(field)? {
        Value::Str(bytes) => Some(String::from_utf8_lossy(&bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use exporter_common::event_type::EventType;

    use super::*;

    /// A process with as many ancestors, of which the table does not know the second.
    struct Process {
        source: Source,
        ancestors: u64,
    }

    impl Subject for Process {
        fn source(&self) -> Source {
            self.source
        }

        fn event_type(&self) -> Option<EventType> {
            None
        }

        fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
            let depth = (1..=20).find(|depth| format!("{:?}", field.arg).contains(&format!("({depth})")))?;
            if depth > self.ancestors {
                return None;
            }
            match scheme().def(field.id).name {
                "proc.apid" => Some(Value::Int(100 - i64::try_from(depth).ok()?)),
                "proc.aname" if depth != 2 => Some(Value::str(b"bash\xff")),
                "proc.aexepath" if depth != 2 => Some(Value::str(b"/bin/bash")),
                _ => None,
            }
        }
    }

    #[test]
    fn the_parent_comes_first_and_there_is_an_end() {
        assert_eq!(FIELDS.len(), MOST);
        let of = |count| ancestors(&Process { source: Source::Syscall, ancestors: count });
        assert_eq!(
            of(2),
            [
                Ancestor { pid: 99, name: Some("bash\u{fffd}".into()), exepath: Some("/bin/bash".into()) },
                Ancestor { pid: 98, name: None, exepath: None },
            ]
        );
        assert!(of(0).is_empty());
        assert_eq!(of(20).len(), MOST);
        assert!(ancestors(&Process { source: Source::K8sAudit, ancestors: 3 }).is_empty());
    }
}
