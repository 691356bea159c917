//! Asking the service for a typed answer, outside a tool call.

use std::sync::Arc;

use rmcp::ErrorData;
use service::api::Command;
use service::{Caller, Cancel, NoProgress, Service, ServiceError};

/// Asks on the calling thread.
pub(crate) fn ask<C: Command>(
    service: &Service,
    caller: &Caller,
    command: C,
) -> Result<C::Answer, ServiceError> {
    let cancel = Cancel::new()?;
    let response = service.call(caller, command.into_request(), &NoProgress, &cancel)?;
    C::from_response(response).ok_or_else(|| ServiceError::Internal("another answer".into()))
}

/// Does blocking work with the service on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    service: &Arc<Service>,
    caller: &Caller,
    work: impl FnOnce(&Service, &Caller) -> T + Send + 'static,
) -> Result<T, ErrorData> {
    let (service, caller) = (Arc::clone(service), caller.clone());
    tokio::task::spawn_blocking(move || work(&service, &caller))
        .await
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}
