//! From the service's answer or error to MCP's result.

use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use serde_json::{Value, json};
use service::ServiceError;

use crate::spec::{Summary, ToolSpec};

/// A success; refusals are successes too.
pub(crate) fn success(tool: &ToolSpec, value: Value) -> CallToolResult {
    let text = match tool.summary {
        Summary::Json => value.to_string(),
        Summary::Line(line) => line(&value),
    };
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(value);
    result
}

/// Arguments that are not the tool's.
pub(crate) fn bad_arguments(tool: &ToolSpec, why: &str) -> CallToolResult {
    let valid = properties(&(tool.input)());
    error(
        "bad_arguments",
        &format!("{}: {why}", tool.name),
        &valid,
        tool.name,
    )
}

/// A tool this connection may not call, or that does not exist.
pub(crate) fn unavailable(name: &str, why: &str, valid: &[&str]) -> CallToolResult {
    let valid: Vec<String> = valid.iter().map(|name| (*name).to_owned()).collect();
    error(
        "unavailable",
        &format!("{name}: {why}"),
        &valid,
        "loop_status",
    )
}

/// Something the service could not do.
pub(crate) fn failure(tool: &ToolSpec, failed: &ServiceError) -> CallToolResult {
    let valid = match failed {
        ServiceError::UnknownId { valid, .. } => valid.clone(),
        _ => Vec::new(),
    };
    let next = if failed.fixable() {
        tool.name
    } else {
        "loop_status"
    };
    error(failed.code(), &failed.to_string(), &valid, next)
}

/// A resource that cannot be read: one that is not there is the protocol's own error.
pub(crate) fn unreadable(failed: &ServiceError, uri: &str) -> ErrorData {
    match failed {
        ServiceError::UnknownId { valid, .. } => {
            let data = json!({ "uri": short(uri), "valid": valid });
            ErrorData::resource_not_found(failed.to_string(), Some(data))
        }
        _ => protocol_error(failed),
    }
}

/// Something the service could not do, outside a tool.
pub(crate) fn protocol_error(failed: &ServiceError) -> ErrorData {
    let data = json!({ "code": failed.code() });
    match failed.fixable() {
        true => ErrorData::invalid_params(failed.to_string(), Some(data)),
        false => ErrorData::internal_error(failed.to_string(), Some(data)),
    }
}

/// The beginning of what a client sent, for an error that gives it back.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(120).collect()
}

fn error(code: &str, what: &str, valid: &[String], next_tool: &str) -> CallToolResult {
    let body = json!({ "code": code, "what": what, "valid": valid, "next_tool": next_tool });
    CallToolResult::error(vec![ContentBlock::text(body.to_string())])
}

fn properties(schema: &JsonObject) -> Vec<String> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}
