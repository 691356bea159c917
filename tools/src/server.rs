//! One MCP server per connection.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
    GetPromptRequestParams, GetPromptResponse, Implementation, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerCapabilities,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use service::{Caller, Cancel, NoProgress, Progress, Service};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ask::blocking;
use crate::progress::Notes;
use crate::resource::{self, Address, Watch};
use crate::spec::ToolSpec;
use crate::tool::TOOLS;
use crate::{answer, completion, notify, prompt};

/// The server of one connection.
#[derive(Clone)]
pub struct Server {
    service: Arc<Service>,
    caller: Caller,
    read_only: bool,
    /// Resources that a client of the session era watches.
    watched: Arc<Mutex<BTreeSet<String>>>,
    /// A subscription came; what its resource holds now is no news.
    subscribed: Arc<tokio::sync::Notify>,
}

/// Characters of a client's own name that are kept.
const MAX_CLIENT_NAME: usize = 100;
/// Most resources that one client may watch.
const MAX_WATCHED: usize = 100;

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
            watched: Arc::default(),
            subscribed: Arc::default(),
        }
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.service))
    }

    pub(crate) fn watched(&self) -> BTreeSet<String> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.clone()
    }

    /// Waits for the next subscription.
    pub(crate) async fn subscription(&self) {
        self.subscribed.notified().await;
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

    /// The caller under the name that its client gives itself, labelled unverified by the journal:
    /// with each request since 2026-07-28, once for a session before.
    fn named(&self, context: &RequestContext<RoleServer>) -> Caller {
        let in_session = || Some(context.peer.peer_info()?.client_info.clone());
        let client = context.meta.client_info().or_else(in_session);
        let name: Option<String> = client.map(|client| {
            let readable = client.name.chars().filter(|c| !c.is_control());
            readable.take(MAX_CLIENT_NAME).collect()
        });
        Caller {
            name: name.unwrap_or_else(|| self.caller.name.clone()),
            ..self.caller.clone()
        }
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> rmcp::model::ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_prompts()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_tools()
            .build();
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

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let ids = blocking(&self.service, &self.caller, |service, _| service.ids()).await?;
        let cursor = request.and_then(|request| request.cursor);
        resource::list(&ids, cursor.as_deref()).ok_or_else(|| {
            ErrorData::invalid_params("the cursor is not one that was given out", None)
        })
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(
            resource::templates(),
        ))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let (uri, address) = (request.uri.clone(), known(&request.uri)?);
        let caller = self.named(&context);
        let contents = blocking(&self.service, &caller, move |service, caller| {
            resource::read(service, caller, &address, &uri)
        });
        match contents.await? {
            Ok(contents) => Ok(ReadResourceResult::new(vec![contents]).into()),
            Err(error) => Err(answer::unreadable(&error, &request.uri)),
        }
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompt::list()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let caller = self.named(&context);
        let rendered = blocking(&self.service, &caller, move |service, caller| {
            let arguments = request.arguments.unwrap_or_default();
            prompt::render(service, caller, &request.name, &arguments)
        });
        match rendered.await? {
            Ok(result) => Ok(result.into()),
            Err(prompt::NoPrompt::Invalid(why)) => Err(ErrorData::invalid_params(why, None)),
            Err(prompt::NoPrompt::Failed(error)) => Err(answer::protocol_error(&error)),
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let ids = blocking(&self.service, &self.caller, |service, _| service.ids()).await?;
        Ok(completion::complete(&ids, &request))
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        tokio::spawn(notify::session(self.clone(), context.peer));
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        known(&request.uri)?;
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.len() >= MAX_WATCHED && !watched.contains(&request.uri) {
            return Err(ErrorData::invalid_params(
                format!("{MAX_WATCHED} resources are watched; unsubscribe from one first"),
                None,
            ));
        }
        watched.insert(request.uri);
        self.subscribed.notify_one();
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        let mut accepted = SubscriptionFilter::new();
        accepted.resources_list_changed = requested.resources_list_changed;
        accepted.resource_subscriptions = requested.resource_subscriptions.as_ref().map(|uris| {
            let ours = uris.iter().filter(|uri| Address::parse(uri).is_some());
            ours.take(MAX_WATCHED).cloned().collect()
        });
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        notify::subscription(self, &context).await;
        Ok(())
    }
}

/// What a URI names, or that it names nothing here.
fn known(uri: &str) -> Result<Address, ErrorData> {
    Address::parse(uri).ok_or_else(|| {
        let data = serde_json::json!({ "uri": answer::short(uri) });
        ErrorData::resource_not_found("the URI names no resource of this server", Some(data))
    })
}
