//! Frames between a command and the daemon: JSON, one per line.
//!
//! A connection opens with [`Hello`] in both directions. On the operator's socket each request is
//! answered by any number of progress frames and one answer or error. On the agent's socket MCP
//! bytes follow the daemon's hello, or those of an HTTP connection that carries MCP.

use serde::{Deserialize, Serialize};
use service::api::{Request, Response};

/// Longest frame either side accepts, bytes.
pub(crate) const FRAME_MAX: u64 = 64 << 20;

/// First frame of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    /// Version of the binary that speaks.
    pub version: String,
    /// Self-declared name of a caller; process id of a daemon.
    pub name: String,
    /// On the agent's socket: hide and refuse tools that write.
    #[serde(default)]
    pub read_only: bool,
    /// On the agent's socket: HTTP instead of bare MCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpDoor>,
}

/// What a stream on the agent's socket is for, when it is about HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum HttpDoor {
    /// Open an endpoint that lives as long as this stream.
    Open {
        /// Names it for other streams.
        id: String,
        /// Port that clients reach it at.
        port: u16,
        /// Bearer token that clients must show.
        token: String,
    },
    /// This stream carries one HTTP connection to an open endpoint.
    Join {
        /// The endpoint.
        id: String,
    },
}

impl Hello {
    pub(crate) fn new(name: impl Into<String>, read_only: bool) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            name: name.into(),
            read_only,
            http: None,
        }
    }
}

/// What a command sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ToDaemon {
    /// Do this.
    Call(Box<Request>),
    /// Stop what you are doing for me.
    Cancel,
}

/// What the daemon sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum FromDaemon {
    /// Long work moved.
    Progress {
        /// In `total`'s unit.
        done: u64,
        /// Where known.
        total: Option<u64>,
        /// What happens now.
        message: String,
    },
    /// The answer.
    Answer(Box<Response>),
    /// No answer.
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    /// Stable snake_case code.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
    /// True when asking differently helps.
    pub fixable: bool,
}
