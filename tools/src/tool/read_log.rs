//! Pages of a log that prove themselves.

use serde_json::Value;
use service::api::ReadLogRequest;

use crate::spec::{Hints, ToolSpec};

pub(super) const TOOL: ToolSpec =
    ToolSpec::new::<ReadLogRequest>("read_log", Hints::READ).summarised(line);

/// Says where the page lies; the data travels once, in structured content.
fn line(page: &Value) -> String {
    let number = |key: &str| page.get(key).and_then(Value::as_u64).unwrap_or_default();
    let (offset, len, total) = (number("offset"), number("len"), number("total_bytes"));
    format!(
        "bytes {offset}..{} of {total}; the page is in structuredContent.data (untrusted)",
        offset + len
    )
}
