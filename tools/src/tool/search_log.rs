//! Lines of a log by a regular expression.

use serde_json::Value;
use service::api::SearchLogRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<SearchLogRequest>("search_log", Hints::READ).summarised(line);

/// Says how much was found; the lines travel once, in structured content.
fn line(answer: &Value) -> String {
    let hits = answer.get("hits").and_then(Value::as_array);
    let more = match answer.get("next_cursor").is_some_and(Value::is_string) {
        true => "; next_cursor goes on",
        false => "",
    };
    format!(
        "{} lines match{more}; they are in structuredContent.data (untrusted)",
        hits.map_or(0, Vec::len)
    )
}
