//! One MCP server per connection.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use service::{Caller, Cancel, NoProgress, Progress, Service};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::answer;
use crate::progress::Notes;
use crate::spec::ToolSpec;
use crate::tool::TOOLS;

/// The server of one connection.
#[derive(Clone)]
pub struct Server {
    service: Arc<Service>,
    caller: Caller,
    read_only: bool,
}

/// Serves one connection until its client leaves.
///
/// # Errors
/// The client broke the protocol before the session was established, or the session's task failed.
pub async fn serve<R, W>(server: Server, reader: R, writer: W) -> Result<(), ServeError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let running = server
        .serve((reader, writer))
        .await
        .map_err(|e| ServeError::Handshake(e.to_string()))?;
    running
        .waiting()
        .await
        .map_err(|e| ServeError::Session(e.to_string()))?;
    Ok(())
}

/// Why a connection ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Before the session was established.
    #[error("mcp handshake: {0}")]
    Handshake(String),
    /// During the session.
    #[error("mcp session: {0}")]
    Session(String),
}

impl Server {
    /// A server for that caller; a read-only one hides and refuses every tool that writes.
    #[must_use]
    pub fn new(service: Arc<Service>, caller: Caller, read_only: bool) -> Self {
        Self {
            service,
            caller,
            read_only,
        }
    }

    fn visible(&self) -> impl Iterator<Item = &'static ToolSpec> + '_ {
        TOOLS
            .iter()
            .filter(|tool| !self.read_only || tool.hints.read_only)
    }

    fn find(&self, name: &str) -> Result<&'static ToolSpec, &'static str> {
        match TOOLS.iter().find(|tool| tool.name == name) {
            None => Err("no such tool"),
            Some(tool) if self.read_only && !tool.hints.read_only => {
                Err("this connection is read-only")
            }
            Some(tool) => Ok(tool),
        }
    }

    async fn call(
        &self,
        params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool = match self.find(&params.name) {
            Ok(tool) => tool,
            Err(why) => {
                let names: Vec<&str> = self.visible().map(|tool| tool.name).collect();
                return Ok(answer::unavailable(&params.name, why, &names).into());
            }
        };
        let request = match (tool.parse)(params.arguments.unwrap_or_default()) {
            Ok(request) => request,
            Err(why) => return Ok(answer::bad_arguments(tool, &why).into()),
        };
        let progress: Box<dyn Progress> = match context.meta.get_progress_token() {
            Some(token) => Box::new(Notes::start(context.peer.clone(), token)),
            None => Box::new(NoProgress),
        };
        let cancel = Cancel::new().map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
        let (service, caller, stop) = (
            Arc::clone(&self.service),
            self.named(&context),
            cancel.clone(),
        );
        let mut work = tokio::task::spawn_blocking(move || {
            service.call(&caller, request, progress.as_ref(), &stop)
        });
        let answered = tokio::select! {
            answered = &mut work => answered,
            () = context.ct.cancelled() => {
                cancel.cancel();
                work.await
            }
        };
        let answered = answered.map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
        match answered {
            Ok(response) => match (tool.answer)(response) {
                Ok(value) => Ok(answer::success(tool, value).into()),
                Err(why) => Err(ErrorData::internal_error(why, None)),
            },
            Err(failed) => {
                tracing::warn!(tool = tool.name, code = failed.code(), "tool failed");
                Ok(answer::failure(tool, &failed).into())
            }
        }
    }

    /// The caller under the name that its client gives itself, labelled unverified by the journal.
    fn named(&self, context: &RequestContext<RoleServer>) -> Caller {
        let name = context
            .peer
            .peer_info()
            .map(|info| info.client_info.name.clone());
        Caller {
            name: name.unwrap_or_else(|| self.caller.name.clone()),
            ..self.caller.clone()
        }
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> rmcp::model::ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        rmcp::model::ServerConfig::new(capabilities)
            .with_server_info(
                Implementation::new("greenloop", env!("CARGO_PKG_VERSION")).with_title("greenloop"),
            )
            .with_instructions(prompts::instructions(self.read_only))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(
            self.visible().map(ToolSpec::describe).collect(),
        ))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.find(name).ok().map(ToolSpec::describe)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(request, context).await
    }
}
