//! The MCP server: one file per tool, thin over the service.
//!
//! Flow: a connection gets a [`Server`]; `tools/call` finds the tool in [`TOOLS`], parses its
//! arguments into the service's request (unknown arguments are refused), calls the service on a
//! blocking thread, forwards progress at most four times a second, and answers with the service's
//! answer as structured content. Resources and prompts give what tools give, under addresses and names
//! that a person can pick; a watching client hears when they change. An [`Endpoint`] serves the same
//! over HTTP, on any byte stream, behind checks of Host, Origin and a bearer token.
//!
//! # Architecture invariants
//! - There is no tool, prompt or resource by which an agent can approve.
//! - A refusal is a success that carries `refused`; a problem the model can fix is `isError` with
//!   what, why, valid values and the next tool; only a broken request is a protocol error.
//! - Log text appears in answers of tools and in `log://` pages alone, labelled untrusted; never in
//!   errors, prompts, descriptions or progress.
//! - Which tools exist is [`TOOLS`] and nothing else; a read-only connection sees and may call only
//!   those that read.
//! - Nothing here opens a port or a file: whoever starts an endpoint brings its streams.

mod answer;
mod ask;
mod brief;
mod completion;
mod http;
mod notify;
mod progress;
mod prompt;
mod resource;
mod schema;
mod server;
mod spec;
mod tool;

pub use http::{Endpoint, MAX_BODY_BYTES, PATH};
pub use server::{Server, serve};
pub use spec::{Hints, ToolSpec};
pub use tool::TOOLS;
