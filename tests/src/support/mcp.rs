//! An agent's client that a test drives call by call.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceExt};
use serde_json::Value;

use super::bin;
use super::project::Scene;

/// A session over `greenloop mcp`; it ends when dropped.
pub struct Mcp {
    runtime: tokio::runtime::Runtime,
    session: Option<RunningService<RoleClient, ()>>,
}

impl Mcp {
    /// Launches `greenloop mcp` as an agent of that name would.
    ///
    /// # Errors
    /// It does not answer the handshake.
    pub fn connect(scene: &Scene, name: &str) -> Result<Self> {
        let mut command = tokio::process::Command::new(bin("greenloop")?);
        command.args(["mcp", "--repo"]).arg(&scene.repo);
        command.arg("--config").arg(&scene.config);
        Self::start(command.env("GREENLOOP_NAME", name))
    }

    /// Launches it in a repository, in exactly this environment.
    ///
    /// # Errors
    /// It does not answer the handshake.
    pub fn launch(repo: &Path, environment: &[(OsString, OsString)]) -> Result<Self> {
        let mut command = tokio::process::Command::new(bin("greenloop")?);
        command.arg("mcp").current_dir(repo).env_clear();
        Self::start(command.envs(environment.iter().map(|(name, value)| (name, value))))
    }

    fn start(command: &mut tokio::process::Command) -> Result<Self> {
        let command = std::mem::replace(command, tokio::process::Command::new("true"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let session = runtime.block_on(async {
            let transport = TokioChildProcess::new(command)?;
            ().serve(transport).await.context("mcp handshake")
        })?;
        Ok(Self {
            runtime,
            session: Some(session),
        })
    }

    /// Calls a tool and answers with its structured content; refusals are part of it.
    ///
    /// # Errors
    /// The tool answered with an error; the message is its text.
    pub fn call(&self, tool: &str, arguments: Value) -> Result<Value> {
        let result = self.raw(tool, arguments)?;
        if result.is_error == Some(true) {
            bail!("{tool}: {}", serde_json::to_string(&result.content)?);
        }
        let content = result.structured_content;
        content.with_context(|| format!("{tool} gave no structured content"))
    }

    /// The text of a call that the tool answers with an error.
    ///
    /// # Errors
    /// It answered without one.
    pub fn complaint(&self, tool: &str, arguments: Value) -> Result<String> {
        let result = self.raw(tool, arguments)?;
        if result.is_error != Some(true) {
            bail!("{tool} answered {:?}", result.structured_content);
        }
        Ok(serde_json::to_string(&result.content)?)
    }

    fn raw(&self, tool: &str, arguments: Value) -> Result<CallToolResult> {
        let Value::Object(arguments) = arguments else {
            bail!("arguments are an object")
        };
        let session = self.session.as_ref().context("the session has ended")?;
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let called = self.runtime.block_on(session.call_tool(params));
        called.with_context(|| tool.to_owned())
    }
}

impl Drop for Mcp {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // The process ends with its input; nobody waits for more.
            let _ = self.runtime.block_on(session.cancel());
        }
    }
}
