//! Ties detections of the kernel's events to the sessions that people have in the same pod.

use std::sync::Arc;

use crate::{
    audit::Sessions,
    detection::{Correlation, Detection, Related},
    fields::{FieldRef, Source, Subject, Value, scheme},
};

/// What the hot thread needs for it. Used when a rule has matched, not for every event.
#[derive(Debug)]
pub struct Ties {
    sessions: Arc<Sessions>,
    /// `k8s.ns.name` and `k8s.pod.name`.
    pod: [FieldRef; 2],
}

impl Ties {
    pub fn new(sessions: Arc<Sessions>) -> Option<Ties> {
        let field = |name| scheme().resolve(Source::Syscall, name, None).ok();
        Some(Ties { sessions, pod: [field("k8s.ns.name")?, field("k8s.pod.name")?] })
    }

    /// Adds the session in the event's pod, if there is one, and notes the detection for sessions of which the API
    /// server has not told yet.
    pub fn tie(&self, subject: &impl Subject, detection: &mut Detection) {
        let [namespace, name] = self.pod.each_ref().map(|field| match subject.get(field) {
            Some(Value::Str(text)) if !text.is_empty() => Some(String::from_utf8_lossy(&text).into_owned()),
            _ => None,
        });
        let (Some(namespace), Some(name)) = (namespace, name) else { return };
        let found = self.sessions.find(&namespace, &name, detection.time_ns);
        detection.correlation = found.map(|(exec, other_sessions)| {
            Box::new(Correlation { k8s_exec: Some(exec), other_sessions, detections: Vec::new() })
        });
        let related = Related { uuid: detection.uuid, rule: Arc::clone(&detection.rule) };
        self.sessions.detected(&namespace, &name, detection.time_ns, related);
    }
}

#[cfg(test)]
mod tests {
    use exporter_common::event_type::EventType;

    use super::*;
    use crate::{audit::AuditEvent, detection::PLATFORM_TENANT, rules::Priority};

    struct InPod(&'static [(&'static str, &'static str)]);

    impl Subject for InPod {
        fn source(&self) -> Source {
            Source::Syscall
        }

        fn event_type(&self) -> Option<EventType> {
            Some(EventType::Execve)
        }

        fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
            let name = scheme().def(field.id).name;
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| Value::str(value.as_bytes()))
        }
    }

    fn detection() -> Detection {
        Detection {
            time_ns: 1_795_402_800_000_000_000,
            rule: "Shell".into(),
            priority: Priority::Notice,
            source: "syscall",
            tags: Arc::from([]),
            message: String::new(),
            output_fields: Vec::new(),
            incomplete_fields: Vec::new(),
            uuid: uuid::Uuid::nil(),
            tenant: PLATFORM_TENANT.into(),
            namespace: None,
            ancestors: Vec::new(),
            correlation: None,
        }
    }

    #[test]
    fn a_detection_in_a_pod_is_tied_to_the_session_there() {
        let sessions = Arc::new(Sessions::new(Arc::default()));
        let ties = Ties::new(Arc::clone(&sessions)).unwrap();
        let pod = InPod(&[("k8s.ns.name", "shop"), ("k8s.pod.name", "web-0")]);
        let tied = |subject: &InPod| {
            let mut detection = detection();
            ties.tie(subject, &mut detection);
            detection.correlation.and_then(|correlation| Some(correlation.k8s_exec?.user.clone()))
        };
        assert_eq!(tied(&pod), None);
        let event = r#"{"auditID":"a","stage":"ResponseStarted","stageTimestamp":"2026-11-23T03:00:00Z","user":{"username":"eve"},
            "objectRef":{"resource":"pods","subresource":"exec","namespace":"shop","name":"web-0"},"responseStatus":{"code":101}}"#;
        let told = sessions.observe(&AuditEvent::read(event, 0).unwrap());
        assert_eq!(told.len(), 1, "the detection before");
        assert_eq!(tied(&pod), Some("eve".into()));
        for other in [
            InPod(&[("k8s.ns.name", "shop"), ("k8s.pod.name", "web-1")]),
            InPod(&[("k8s.ns.name", "shop")]),
            InPod(&[("k8s.ns.name", ""), ("k8s.pod.name", "")]),
            InPod(&[]),
        ] {
            assert_eq!(tied(&other), None, "{:?}", other.0);
        }
    }
}
