//! The one entrance: open a state folder, answer commands.

use std::sync::Arc;

use crate::api::{Request, Response};
use crate::{Caller, Cancel, Progress, ServiceConfig, ServiceError};

/// One repository under care, with its state folder. Shared by all connections.
pub struct Service {
    config: ServiceConfig,
}

impl Service {
    /// Opens or creates the state folder, replays the journal and reconciles what was in flight.
    ///
    /// # Errors
    /// Another daemon holds the state, the journal is behind its anchor, the repository or its
    /// remote cannot be read.
    pub fn open(config: ServiceConfig) -> Result<Arc<Self>, ServiceError> {
        Ok(Arc::new(Self { config }))
    }

    /// Answers one command.
    ///
    /// Blocks until the answer stands; long commands report to `progress` and end within two
    /// seconds of `cancel`.
    ///
    /// # Errors
    /// See [`ServiceError`]; refusals are values of the response.
    pub fn call(
        &self,
        caller: &Caller,
        request: Request,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Response, ServiceError> {
        let _ = (&self.config, caller, request, progress, cancel);
        Err(ServiceError::Cancelled)
    }

    /// Stops workers and waits for their process groups to end; what they did is journalled.
    pub fn shutdown(&self) {}
}
