//! An MCP client on the product's own pipe that also listens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rmcp::model::{
    CallToolRequestParams, ClientConfig, ClientRequest, Implementation, ProgressNotificationParam,
    ResourceUpdatedNotificationParam,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestHandle, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::Value;
use tokio::sync::Notify;

use super::bin;
use super::project::Scene;

/// What the server told the client without being asked.
#[derive(Debug, Default)]
pub struct Heard {
    /// Progress notes with the moment they came.
    pub progress: Vec<(Instant, ProgressNotificationParam)>,
    /// How often the list of resources was said to have changed.
    pub list_changed: usize,
    /// URIs of resources that were said to read differently.
    pub updated: Vec<String>,
}

/// The client's side.
#[derive(Clone, Default)]
pub struct Ears(Arc<Mutex<Heard>>, Arc<Notify>);

/// Longest wait for something that must be heard.
const PATIENCE: Duration = Duration::from_secs(120);

impl Ears {
    /// Looks at what was heard so far.
    pub fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until what was heard satisfies `enough`.
    ///
    /// # Errors
    /// It was not heard within two minutes.
    pub async fn until(&self, enough: impl Fn(&Heard) -> bool) -> Result<()> {
        let heard = async {
            loop {
                let next = self.1.notified();
                if self.heard(&enough) {
                    return;
                }
                next.await;
            }
        };
        tokio::time::timeout(PATIENCE, heard)
            .await
            .context("it was not heard")
    }

    fn note(&self, note: impl FnOnce(&mut Heard)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.1.notify_one();
    }
}

impl ClientHandler for Ears {
    fn get_info(&self) -> ClientConfig {
        let mut info = ClientConfig::default();
        info.client_info = Implementation::new("acceptance", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn on_progress(
        &self,
        note: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.note(|heard| heard.progress.push((Instant::now(), note)));
    }

    async fn on_resource_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.note(|heard| heard.list_changed += 1);
    }

    async fn on_resource_updated(
        &self,
        note: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.note(|heard| heard.updated.push(note.uri));
    }
}

/// An open connection through `greenloop mcp`.
pub struct Client {
    /// The session.
    pub session: RunningService<RoleClient, Ears>,
    /// What it heard.
    pub ears: Ears,
}

impl Client {
    /// Launches `greenloop mcp` as an agent's client does.
    ///
    /// # Errors
    /// The product does not start, or the handshake fails.
    pub async fn launch(scene: &Scene, read_only: bool) -> Result<Self> {
        let mut command = tokio::process::Command::new(bin("greenloop")?);
        command.arg("mcp").arg("--repo").arg(&scene.repo);
        command.arg("--config").arg(&scene.config);
        if read_only {
            command.arg("--read-only");
        }
        let ears = Ears::default();
        let session = ears
            .clone()
            .serve(TokioChildProcess::new(command)?)
            .await
            .context("mcp handshake")?;
        Ok(Self { session, ears })
    }

    /// Calls a tool; its structured content.
    ///
    /// # Errors
    /// The call failed, or the tool answered with an error; the error then is what it said.
    pub async fn call(&self, name: &str, arguments: Value) -> Result<Value> {
        let result = self.session.call_tool(params(name, arguments)).await?;
        if result.is_error == Some(true) {
            anyhow::bail!("{}", serde_json::to_string(&result.content)?);
        }
        result.structured_content.context("no structured content")
    }

    /// Begins a call and does not wait for it.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn begin(&self, name: &str, arguments: Value) -> Result<RequestHandle<RoleClient>> {
        let request =
            ClientRequest::CallToolRequest(rmcp::model::Request::new(params(name, arguments)));
        let options = PeerRequestOptions::no_options();
        Ok(self
            .session
            .send_cancellable_request(request, options)
            .await?)
    }

    /// Closes the connection.
    ///
    /// # Errors
    /// The session's task failed.
    pub async fn close(self) -> Result<()> {
        self.session.cancel().await?;
        Ok(())
    }
}

fn params(name: &str, arguments: Value) -> CallToolRequestParams {
    let mut params = CallToolRequestParams::new(name.to_owned());
    params.arguments = arguments.as_object().cloned();
    params
}
