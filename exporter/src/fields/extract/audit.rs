//! `ka.*` and `jevt.*`, and `evt.*` of audit events.
//!
//! Semantics are those of Falco's k8saudit plugin, except where it misreads an event: lists of capabilities,
//! commands and arguments are lists here and not one JSON text; an effective user is read from the security
//! contexts; the port of a registry is not taken for a tag; `ka.sourceips` has values.

use std::borrow::Cow;

use exporter_common::event_type::EventType;
use serde_json::Value as Json;

use super::evt::moment;
use crate::{
    audit::{AuditEvent, AuditView},
    fields::{
        Field, FieldArg, FieldRef, Source, Subject, Value,
        scheme::scheme,
        table::{
            audit::{AuditField as F, CONTAINERS, Path, VOLUMES},
            evt::EvtField,
        },
    },
};

impl Subject for AuditView<'_> {
    fn source(&self) -> Source {
        Source::K8sAudit
    }

    fn event_type(&self) -> Option<EventType> {
        None
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        self.value(field)
    }
}

impl<'e> AuditView<'e> {
    /// The field's value, which outlives the view.
    pub fn value(&self, field: &FieldRef) -> Option<Value<'e>> {
        match scheme().get(field.id)?.field? {
            Field::Evt(evt) => self.evt(evt),
            Field::Audit(audit) => self.audit(audit, &field.arg),
            Field::Proc(_) | Field::Fd(_) | Field::Other(_) | Field::Container(_) => None,
        }
    }

    fn evt(&self, field: EvtField) -> Option<Value<'e>> {
        let at = self.event.time_ns();
        match field {
            EvtField::Num => Some(Value::Uint(self.number)),
            EvtField::Source => Some(Value::str(Source::K8sAudit.name().as_bytes())),
            EvtField::IsAsync => Some(Value::Bool(false)),
            EvtField::Hostname => Some(Value::str(self.hostname.as_bytes())),
            field => moment(field, at, at.saturating_sub(self.first_ns)),
        }
    }

    fn audit(&self, field: &'static F, arg: &FieldArg) -> Option<Value<'e>> {
        let event = self.event;
        let index = match arg {
            FieldArg::Index(index) => Some(*index as usize),
            _ => None,
        };
        let key = match arg {
            FieldArg::Key(key) => &**key,
            _ => "",
        };
        match field {
            F::Text(path) => Some(text(event.at(path)?)),
            F::Items(path) => Some(list(chosen(event, path, index)?.map(text))),
            F::Each(path, below) => Some(list(each(event, path, below, index)?.map(text))),
            F::Repositories(path) => {
                let images = each(event, path, &["image"], index)?;
                Some(list(
                    images.filter_map(Json::as_str).map(|image| Value::str(repository(image).as_bytes())),
                ))
            }
            F::HostPorts(path) => Some(list(
                each(event, path, &["ports"], index)?
                    .filter_map(|port| port.get("hostPort").or_else(|| port.get("containerPort")))
                    .map(text),
            )),
            F::Effective(path, key) => {
                let pod =
                    event.at(&["requestObject", "spec", "securityContext", key]).filter(|id| !id.is_null());
                let id = |container: &'_ Json| match container.get("securityContext")?.get(key)? {
                    Json::Null => None,
                    id => Some(plain(id).into_owned()),
                };
                let pods = || pod.map_or_else(|| "0".into(), |id| plain(id).into_owned());
                let containers = chosen(event, path, index)?;
                Some(list(containers.map(|container| super::owned(id(container).unwrap_or_else(pods)))))
            }
            F::FirstImage => Some(text(each(event, CONTAINERS, &["image"], index.or(Some(0)))?.next()?)),
            F::FirstRepository => {
                let image = each(event, CONTAINERS, &["image"], index.or(Some(0)))?.next()?.as_str()?;
                Some(Value::str(repository(image).as_bytes()))
            }
            F::AnyPrivileged => {
                let mut flags = each(event, CONTAINERS, &["securityContext", "privileged"], None)?;
                Some(truth(flags.any(|flag| flag == &Json::Bool(true))))
            }
            F::HostPath => {
                let mut paths = each(event, VOLUMES, &["hostPath", "path"], None)?.filter_map(Json::as_str);
                Some(truth(match key.strip_suffix('*') {
                    Some(prefix) => paths.any(|path| path.starts_with(prefix)),
                    None => paths.any(|path| path == key),
                }))
            }
            F::VolumeTypes => {
                let keys = chosen(event, VOLUMES, index)?
                    .filter_map(Json::as_object)
                    .flat_map(|volume| volume.keys());
                Some(list(keys.filter(|key| *key != "name").map(|key| Value::str(key.as_bytes()))))
            }
            F::Subjects(kind) => {
                Some(list(subjects(event, kind, index)?.filter_map(|subject| subject.get("name")).map(text)))
            }
            F::ServiceAccounts => {
                Some(list(subjects(event, "ServiceAccount", index)?.filter_map(|subject| {
                    let part = |key| subject.get(key).and_then(Json::as_str);
                    Some(super::owned(format!("{}:{}", part("namespace").unwrap_or_default(), part("name")?)))
                })))
            }
            F::HasName => Some(truth(true)),
            F::Param => {
                let (_, query) = event.text(&["requestURI"])?.split_once('?')?;
                let (_, value) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == key)?;
                Some(Value::Str(match value {
                    Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
                    Cow::Owned(value) => Cow::Owned(value.into_bytes()),
                }))
            }
            F::Cluster => (!self.cluster.is_empty()).then(|| Value::str(self.cluster.as_bytes())),
            F::TargetPod => {
                event.text(&["objectRef", "resource"]).filter(|resource| *resource == "pods")?;
                // A pod of which the client gave only the beginning of the name has one in the response.
                let name = event.text(&["objectRef", "name"]).filter(|name| !name.is_empty());
                let name = name.or_else(|| event.text(&["responseObject", "metadata", "name"]))?;
                Some(Value::str(name.as_bytes()))
            }
            F::Whole => Some(super::owned(event.json().to_string())),
            F::RawTime => Some(super::owned(event.time_ns().to_string())),
            F::Pointer if key.starts_with('/') => Some(text(event.json().pointer(key)?)),
            F::Pointer => Some(text(event.json().pointer(&format!("/{key}"))?)),
        }
    }
}

/// A value as Falco's plugin writes it: text as it is, everything else as JSON.
fn plain(value: &Json) -> Cow<'_, str> {
    match value {
        Json::String(text) => Cow::Borrowed(text),
        Json::Bool(true) => Cow::Borrowed("true"),
        Json::Bool(false) => Cow::Borrowed("false"),
        other => Cow::Owned(other.to_string()),
    }
}

fn text(value: &Json) -> Value<'_> {
    Value::Str(match plain(value) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

fn truth(value: bool) -> Value<'static> {
    Value::str(if value { b"true" } else { b"false" })
}

fn list<'a>(values: impl Iterator<Item = Value<'a>>) -> Value<'a> {
    Value::List(values.collect())
}

/// The elements of the array at a path, or the one with this index; `None` if there is no such array or element.
fn chosen<'e>(event: &'e AuditEvent, path: Path, index: Option<usize>) -> Option<std::slice::Iter<'e, Json>> {
    let all = event.at(path)?.as_array()?;
    Some(match index {
        Some(index) => all.get(index..=index)?.iter(),
        None => all.iter(),
    })
}

/// What is below each element; where that is an array, its elements.
fn each<'e>(
    event: &'e AuditEvent,
    path: Path,
    below: &'e [&'static str],
    index: Option<usize>,
) -> Option<impl Iterator<Item = &'e Json>> {
    let elements = chosen(event, path, index)?;
    let values = elements.filter_map(|element| below.iter().try_fold(element, |value, key| value.get(key)));
    Some(values.flat_map(|value| match value {
        Json::Array(items) => items.as_slice(),
        Json::Null => &[],
        value => std::slice::from_ref(value),
    }))
}

fn subjects<'e>(
    event: &'e AuditEvent,
    kind: &'static str,
    index: Option<usize>,
) -> Option<impl Iterator<Item = &'e Json>> {
    let is_kind = move |subject: &&Json| subject.get("kind").and_then(Json::as_str) == Some(kind);
    Some(chosen(event, &["requestObject", "subjects"], index)?.filter(is_kind))
}

/// An image's name without tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon before the last slash is that of the registry's port.
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}
