//! The stages of a request's handling at which the API server writes an audit event.

/// A closed set, because it is a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
    /// One that Kubernetes does not have today.
    Other,
}

impl Stage {
    pub const ALL: [Stage; 5] =
        [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic, Stage::Other];

    pub fn of(name: &str) -> Stage {
        Stage::ALL.into_iter().find(|stage| stage.name() == name).unwrap_or(Stage::Other)
    }

    /// The name in the event and in the `type` label.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
            Stage::Other => "other",
        }
    }
}
