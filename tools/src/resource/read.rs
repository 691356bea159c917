//! The content of a resource: the answer of the command that gives the same.

use rmcp::model::ResourceContents;
use serde::Serialize;
use service::api::{
    ExplainPushRequest, GetClaimRequest, ListInvariantsRequest, LogViewKind, LoopStatusRequest,
    ReadLogRequest, WaitForRunRequest,
};
use service::{Caller, Service, ServiceError};

use super::Address;
use crate::ask::ask;
use crate::brief::brief_of;

/// Reads what the address names. Blocks.
pub(crate) fn read(
    service: &Service,
    caller: &Caller,
    address: &Address,
    uri: &str,
) -> Result<ResourceContents, ServiceError> {
    match address {
        Address::Log {
            log_id,
            offset,
            len,
        } => {
            let page = ReadLogRequest {
                log_id: log_id.clone(),
                offset: *offset,
                line: None,
                max_bytes: *len,
                view: LogViewKind::Text,
            };
            json(uri, &ask(service, caller, page)?)
        }
        Address::Run(run_id) => {
            let now = WaitForRunRequest {
                run_id: run_id.clone(),
                max_wait_s: 0,
            };
            json(uri, &ask(service, caller, now)?.run)
        }
        Address::Claim(claim_id) => {
            let claim_id = claim_id.clone();
            json(uri, &ask(service, caller, GetClaimRequest { claim_id })?)
        }
        Address::Brief(loop_id) => {
            let loop_id = Some(loop_id.clone());
            let status = ask(service, caller, LoopStatusRequest { loop_id })?;
            let text = prompts::brief(&brief_of(&status));
            Ok(ResourceContents::text(text, uri).with_mime_type("text/markdown"))
        }
        Address::Law => json(
            uri,
            &ask(service, caller, ListInvariantsRequest::default())?,
        ),
        Address::Audit(commit) => {
            let request = ExplainPushRequest {
                commit: Some(commit.clone()),
                claim_id: None,
            };
            json(uri, &ask(service, caller, request)?)
        }
    }
}

fn json<T: Serialize>(uri: &str, answer: &T) -> Result<ResourceContents, ServiceError> {
    let text =
        serde_json::to_string(answer).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(ResourceContents::text(text, uri).with_mime_type("application/json"))
}
