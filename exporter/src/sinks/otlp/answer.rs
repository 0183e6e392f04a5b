//! What a receiver's answer means.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message as _;

use crate::{delivery::Refusal, sinks::http::Answer};

/// How much of a receiver's message is told.
const MAX_TOLD: usize = 300;

/// Whether the records are the receiver's now. It may have kept some only and not say which: by the protocol these are not
/// to be sent again.
pub(super) fn judge(answer: &Answer) -> Result<(), Refusal> {
    answer.judge()?;
    // Whatever else it said, it said that it was fine.
    let Ok(ExportLogsServiceResponse { partial_success: Some(part) }) =
        ExportLogsServiceResponse::decode(&*answer.body)
    else {
        return Ok(());
    };
    let ExportLogsPartialSuccess { rejected_log_records, error_message } = part;
    let told = error_message.get(..error_message.floor_char_boundary(MAX_TOLD)).unwrap_or(&error_message);
    match usize::try_from(rejected_log_records) {
        Ok(rejected) if rejected > 0 => Err(Refusal::Part {
            rejected,
            what: format!("{rejected} were not kept: {}", told.escape_debug()),
        }),
        _ => {
            if !told.is_empty() {
                tracing::warn!(message = %told.escape_debug(), "an OTLP receiver has a remark");
            }
            Ok(())
        }
    }
}
