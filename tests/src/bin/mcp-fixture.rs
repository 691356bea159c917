//! A server with the tools that the protocol's official conformance suite asks for, on the product's
//! own HTTP transport.
//!
//! The suite shows no bearer token, so each request is given the right one on its way in; everything
//! after that is what the product runs. Standard output carries the URL.

#![expect(clippy::print_stdout, reason = "its output is its interface")]
#![allow(
    deprecated,
    reason = "the suite of the older revision asks for features that the newer one dropped"
)]

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, CompleteRequestParams,
    CompleteResult, CompletionInfo, GetPromptRequestParams, GetPromptResponse, Implementation,
    InputRequiredResult, InputResponses, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ServerCapabilities, ServerConfig, ServerNotification, ServerRequest,
    SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{Peer, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tools::Endpoint;

const TOKEN: &str = "the suite shows none";
/// One red pixel, PNG.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==";
/// A header and no samples, WAV.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = listener.local_addr()?.port();
    let (changes, _) = broadcast::channel(16);
    let endpoint = Endpoint::new(port, TOKEN.into(), move || Fixture {
        changes: changes.clone(),
    });
    println!("http://127.0.0.1:{port}{}", tools::PATH);
    loop {
        let (stream, _) = listener.accept().await.context("the port")?;
        let endpoint = Arc::clone(&endpoint);
        let answer = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let endpoint = Arc::clone(&endpoint);
            async move {
                if let Ok(value) = HeaderValue::from_str(&format!("Bearer {TOKEN}")) {
                    request.headers_mut().insert(AUTHORIZATION, value);
                }
                Ok::<_, Infallible>(endpoint.handle(request).await)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

/// What a listening client can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Tools,
    Prompts,
}

#[derive(Clone)]
struct Fixture {
    changes: broadcast::Sender<Changed>,
}

/// Tool, its required text arguments.
const TOOLS: &[(&str, &[&str])] = &[
    ("test_simple_text", &[]),
    ("test_image_content", &[]),
    ("test_audio_content", &[]),
    ("test_embedded_resource", &[]),
    ("test_multiple_content_types", &[]),
    ("test_tool_with_logging", &[]),
    ("test_logging_tool", &[]),
    ("test_error_handling", &[]),
    ("test_tool_with_progress", &[]),
    ("test_sampling", &["prompt"]),
    ("test_elicitation", &["message"]),
    ("test_elicitation_sep1034_defaults", &[]),
    ("test_elicitation_sep1330_enums", &[]),
    ("test_missing_capability", &[]),
    ("test_streaming_elicitation", &[]),
    ("test_trigger_tool_change", &[]),
    ("test_trigger_prompt_change", &[]),
    ("test_input_required_result_elicitation", &[]),
    ("test_input_required_result_sampling", &[]),
    ("test_input_required_result_list_roots", &[]),
    ("test_input_required_result_request_state", &[]),
    ("test_input_required_result_multiple_inputs", &[]),
    ("test_input_required_result_multi_round", &[]),
    ("test_input_required_result_tampered_state", &[]),
    ("test_input_required_result_capabilities", &[]),
];

/// Prompt, its required arguments.
const PROMPTS: &[(&str, &[&str])] = &[
    ("test_simple_prompt", &[]),
    ("test_prompt_with_arguments", &["arg1", "arg2"]),
    ("test_prompt_with_embedded_resource", &["resourceUri"]),
    ("test_prompt_with_image", &[]),
    ("test_input_required_result_prompt", &[]),
];

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|e| ErrorData::internal_error(e.to_string(), None))
}

fn content(blocks: Value) -> Result<CallToolResponse, ErrorData> {
    let result = json!({ "resultType": "complete", "content": blocks });
    Ok(CallToolResponse::Complete(typed(result)?))
}

fn text(text: impl Into<String>) -> Result<CallToolResponse, ErrorData> {
    content(json!([{ "type": "text", "text": text.into() }]))
}

fn embedded(uri: &str, mime_type: &str, text: &str) -> Value {
    let resource = json!({ "uri": uri, "mimeType": mime_type, "text": text });
    json!({ "type": "resource", "resource": resource })
}

fn input_required(
    requests: Value,
    state: Option<String>,
) -> Result<InputRequiredResult, ErrorData> {
    let mut result = json!({ "resultType": "input_required", "inputRequests": requests });
    if let Some(state) = state {
        result["requestState"] = state.into();
    }
    typed(result)
}

fn ask_for(message: &str, field: &str, kind: &str) -> Value {
    let schema = json!({
        "type": "object",
        "properties": { field: { "type": kind } },
        "required": [field],
    });
    let params = json!({ "message": message, "requestedSchema": schema });
    json!({ "method": "elicitation/create", "params": params })
}

fn sample(prompt: &str, max_tokens: u32) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    let params = json!({ "messages": [message], "maxTokens": max_tokens });
    json!({ "method": "sampling/createMessage", "params": params })
}

fn list_roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

/// State that a client cannot make up: a step with its keyed digest.
fn sealed(step: &str) -> String {
    format!(
        "{step}.{}",
        hex::encode(Sha256::digest(format!("{TOKEN}\n{step}")))
    )
}

fn opened(state: Option<&str>) -> Result<Option<&str>, ErrorData> {
    let Some(state) = state else { return Ok(None) };
    let step = state.split('.').next().unwrap_or_default();
    match sealed(step) == state {
        true => Ok(Some(step)),
        false => Err(ErrorData::invalid_params("requestState was changed", None)),
    }
}

/// The accepted content of an elicitation, when it is one.
fn accepted<'a>(responses: Option<&'a InputResponses>, key: &str) -> Option<&'a Value> {
    let response = responses?.get(key)?;
    (response.get("action")? == "accept").then(|| response.get("content"))?
}

async fn ask_client(peer: &Peer<RoleServer>, request: Value) -> Result<Value, ErrorData> {
    let request: ServerRequest = typed(request)?;
    let answer = peer.send_request(request).await;
    let answer = answer.map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
    serde_json::to_value(answer).map_err(|e| ErrorData::internal_error(e.to_string(), None))
}

async fn tell_client(peer: &Peer<RoleServer>, note: Value) -> Result<(), ErrorData> {
    let note: ServerNotification = typed(note)?;
    let told = peer.send_notification(note).await;
    told.map_err(|e| ErrorData::internal_error(e.to_string(), None))
}

/// The suite wants to see notes apart in time.
async fn pause() {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    pace.tick().await;
    pace.tick().await;
}

impl Fixture {
    async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.to_string();
        if name.starts_with("test_input_required_result_") {
            return multi_round(&name, &request, context);
        }
        let argument = |key: &str| {
            let arguments = request.arguments.as_ref();
            let value = arguments.and_then(|arguments| arguments.get(key)?.as_str());
            value.unwrap_or_default().to_owned()
        };
        let peer = &context.peer;
        match name.as_str() {
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => content(json!([image()])),
            "test_audio_content" => {
                content(json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }]))
            }
            "test_embedded_resource" => content(json!([embedded(
                "test://embedded-resource",
                "text/plain",
                "This is an embedded resource content."
            )])),
            "test_multiple_content_types" => content(json!([
                { "type": "text", "text": "Multiple content types test:" },
                image(),
                embedded("test://mixed-content-resource", "application/json", "{\"test\":\"data\",\"value\":123}"),
            ])),
            "test_tool_with_logging" => {
                for step in ["started", "processing", "completed"] {
                    let params =
                        json!({ "level": "info", "data": format!("tool execution: {step}") });
                    tell_client(
                        peer,
                        json!({ "method": "notifications/message", "params": params }),
                    )
                    .await?;
                    pause().await;
                }
                text("logged three times")
            }
            "test_logging_tool" => text("says nothing to a client that asked for no log"),
            "test_error_handling" => Ok(CallToolResponse::Complete(typed(json!({
                "resultType": "complete",
                "isError": true,
                "content": [{ "type": "text", "text": "This tool intentionally returns an error for testing" }],
            }))?)),
            "test_tool_with_progress" => {
                for progress in [0, 50, 100] {
                    if let Some(token) = context.meta.get_progress_token() {
                        let params =
                            json!({ "progressToken": token, "progress": progress, "total": 100 });
                        tell_client(
                            peer,
                            json!({ "method": "notifications/progress", "params": params }),
                        )
                        .await?;
                    }
                    pause().await;
                }
                text("done")
            }
            "test_sampling" => {
                let answer = ask_client(peer, sample(&argument("prompt"), 100)).await?;
                text(format!("LLM response: {answer}"))
            }
            "test_elicitation" => {
                let request = elicitation(
                    &argument("message"),
                    json!({
                        "username": { "type": "string", "description": "User's response" },
                        "email": { "type": "string", "description": "User's email address" },
                    }),
                    &["username", "email"],
                );
                text(format!(
                    "User response: {}",
                    ask_client(peer, request).await?
                ))
            }
            "test_elicitation_sep1034_defaults" => {
                let answer = ask_client(peer, elicitation("Defaults", defaults(), &[])).await?;
                text(format!("Elicitation completed: {answer}"))
            }
            "test_elicitation_sep1330_enums" => {
                let answer = ask_client(peer, elicitation("Choices", choices(), &[])).await?;
                text(format!("Elicitation completed: {answer}"))
            }
            "test_missing_capability" => {
                let capabilities = context.client_capabilities().unwrap_or_default();
                if capabilities.sampling.is_some() {
                    return text("the client can sample");
                }
                let needed = ClientCapabilities::builder().enable_sampling().build();
                Err(ErrorData::missing_required_client_capability(needed))
            }
            "test_streaming_elicitation" => {
                let ask = json!({ "user_name": ask_for("What is your name?", "name", "string") });
                Ok(input_required(ask, None)?.into())
            }
            "test_trigger_tool_change" | "test_trigger_prompt_change" => {
                let changed = if name.contains("tool_change") {
                    Changed::Tools
                } else {
                    Changed::Prompts
                };
                // Nobody may be listening.
                let _ = self.changes.send(changed);
                text("told whoever listens")
            }
            _ => Err(ErrorData::invalid_params("no such tool", None)),
        }
    }
}

fn image() -> Value {
    json!({ "type": "image", "data": PNG, "mimeType": "image/png" })
}

fn elicitation(message: &str, properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let params = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    json!({ "method": "elicitation/create", "params": params })
}

fn defaults() -> Value {
    json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    })
}

fn choices() -> Value {
    let options = json!(["option1", "option2", "option3"]);
    let titled = json!([
        { "const": "value1", "title": "First" },
        { "const": "value2", "title": "Second" },
        { "const": "value3", "title": "Third" },
    ]);
    json!({
        "untitledSingle": { "type": "string", "enum": options },
        "titledSingle": { "type": "string", "oneOf": titled },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled } },
    })
}

/// Tools that end a round by asking the client for something.
fn multi_round(
    name: &str,
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let responses = request.input_responses.as_ref();
    let step = opened(request.request_state.as_deref())?;
    let has = |key: &str| responses.is_some_and(|responses| responses.contains_key(key));
    let name_of = ask_for("What is your name?", "name", "string");
    let asked = match name.trim_start_matches("test_input_required_result_") {
        "elicitation" => match accepted(responses, "user_name") {
            Some(content) => return text(format!("Hello, {}!", content["name"])),
            None => input_required(json!({ "user_name": name_of }), None),
        },
        "sampling" if has("capital_question") => return text("the client sampled"),
        "sampling" => {
            let question = sample("What is the capital of France?", 100);
            input_required(json!({ "capital_question": question }), None)
        }
        "list_roots" if has("client_roots") => return text("the client listed its roots"),
        "list_roots" => input_required(json!({ "client_roots": list_roots() }), None),
        "request_state" | "tampered_state" => match (step, accepted(responses, "confirm")) {
            (Some(_), Some(_)) => return text("state-ok"),
            _ => {
                let confirm = ask_for("Please confirm", "ok", "boolean");
                input_required(json!({ "confirm": confirm }), Some(sealed("confirm")))
            }
        },
        "multiple_inputs" if has("user_name") && has("greeting") && has("client_roots") => {
            return text("all three");
        }
        "multiple_inputs" => {
            let asked = json!({
                "user_name": name_of,
                "greeting": sample("Generate a greeting", 50),
                "client_roots": list_roots(),
            });
            input_required(asked, Some(sealed("three")))
        }
        "multi_round" => match step {
            Some("round-2") => return text("both rounds are done"),
            Some(_) => {
                let color = ask_for("Step 2: What is your favorite color?", "color", "string");
                input_required(json!({ "step2": color }), Some(sealed("round-2")))
            }
            None => {
                let name = ask_for("Step 1: What is your name?", "name", "string");
                input_required(json!({ "step1": name }), Some(sealed("round-1")))
            }
        },
        _ => {
            let capabilities = context.client_capabilities().unwrap_or_default();
            let mut asked = serde_json::Map::new();
            if capabilities.sampling.is_some() {
                asked.insert("greeting".into(), sample("Generate a greeting", 50));
            }
            if capabilities.elicitation.is_some() {
                asked.insert("user_name".into(), name_of);
            }
            input_required(Value::Object(asked), None)
        }
    };
    Ok(asked?.into())
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new(
            "mcp-fixture",
            env!("CARGO_PKG_VERSION"),
        ))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = TOOLS.iter().map(|(name, required)| {
            let properties: serde_json::Map<String, Value> = required
                .iter()
                .map(|key| ((*key).to_owned(), json!({ "type": "string" })))
                .collect();
            json!({
                "name": name,
                "description": format!("what the suite wants of {name}"),
                "inputSchema": { "type": "object", "properties": properties, "required": required },
            })
        });
        let tools = typed(Value::Array(tools.collect()))?;
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(request, &context).await
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resources = json!([
            { "uri": "test://static-text", "name": "text", "description": "static text", "mimeType": "text/plain" },
            { "uri": "test://static-binary", "name": "image", "description": "static bytes", "mimeType": "image/png" },
            { "uri": "test://watched-resource", "name": "watched", "description": "to subscribe to", "mimeType": "text/plain" },
        ]);
        Ok(ListResourcesResult::with_all_items(typed(resources)?))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = json!([
            { "uriTemplate": "test://template/{id}/data", "name": "data", "description": "by id", "mimeType": "application/json" },
        ]);
        Ok(ListResourceTemplatesResult::with_all_items(typed(
            templates,
        )?))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let template = uri
            .strip_prefix("test://template/")
            .and_then(|rest| rest.strip_suffix("/data"));
        let contents = match (uri, template) {
            ("test://static-text", _) => {
                json!({ "uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource." })
            }
            ("test://static-binary", _) => {
                json!({ "uri": uri, "mimeType": "image/png", "blob": PNG })
            }
            ("test://watched-resource", _) => {
                json!({ "uri": uri, "mimeType": "text/plain", "text": "watched" })
            }
            (_, Some(id)) => {
                let data =
                    json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
                json!({ "uri": uri, "mimeType": "application/json", "text": data.to_string() })
            }
            _ => {
                let data = json!({ "uri": uri });
                return Err(ErrorData::resource_not_found(
                    "no such resource",
                    Some(data),
                ));
            }
        };
        let result = json!({ "resultType": "complete", "contents": [contents] });
        Ok(ReadResourceResponse::Complete(typed(result)?))
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompts = PROMPTS.iter().map(|(name, arguments)| {
            let arguments = arguments
                .iter()
                .map(|name| json!({ "name": name, "description": "a text", "required": true }));
            json!({
                "name": name,
                "description": format!("what the suite wants of {name}"),
                "arguments": arguments.collect::<Vec<_>>(),
            })
        });
        let prompts = typed(Value::Array(prompts.collect()))?;
        Ok(ListPromptsResult::with_all_items(prompts))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let argument = |key: &str| -> String {
            let arguments = request.arguments.as_ref();
            let value = arguments.and_then(|arguments| arguments.get(key)?.as_str());
            value.unwrap_or_default().to_owned()
        };
        let said = |text: String| json!({ "type": "text", "text": text });
        let blocks = match request.name.as_str() {
            "test_simple_prompt" => vec![said("This is a simple prompt for testing.".into())],
            "test_prompt_with_arguments" => vec![said(format!(
                "Prompt with arguments: arg1='{}', arg2='{}'",
                argument("arg1"),
                argument("arg2")
            ))],
            "test_prompt_with_embedded_resource" => vec![
                embedded(
                    &argument("resourceUri"),
                    "text/plain",
                    "Embedded resource content for testing.",
                ),
                said("Please process the embedded resource above.".into()),
            ],
            "test_prompt_with_image" => {
                vec![image(), said("Please analyze the image above.".into())]
            }
            "test_input_required_result_prompt" => {
                match accepted(request.input_responses.as_ref(), "user_context") {
                    Some(context) => vec![said(format!("in the context of {context}"))],
                    None => {
                        let ask =
                            ask_for("What context should the prompt use?", "context", "string");
                        return Ok(input_required(json!({ "user_context": ask }), None)?.into());
                    }
                }
            }
            _ => return Err(ErrorData::invalid_params("no such prompt", None)),
        };
        let messages = blocks
            .into_iter()
            .map(|block| json!({ "role": "user", "content": block }));
        let result = json!({ "resultType": "complete", "messages": messages.collect::<Vec<_>>() });
        Ok(GetPromptResponse::Complete(typed(result)?))
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let values = vec![format!("{}ing", request.argument.value)];
        let info = CompletionInfo::with_all_values(values);
        let info = info.map_err(|e| ErrorData::internal_error(e, None))?;
        Ok(CompleteResult::new(info))
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let changed = tokio::select! {
                changed = changes.recv() => changed,
                () = context.cancelled() => return Ok(()),
            };
            // What the client did not ask for is not sent: that error is the filter at work.
            let _ = match changed {
                Ok(Changed::Tools) => context.sink().notify_tool_list_changed().await,
                Ok(Changed::Prompts) => context.sink().notify_prompt_list_changed().await,
                Err(_) => continue,
            };
        }
    }
}
