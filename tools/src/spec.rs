//! What a tool is, as data.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use service::api::{Command, Request, Response};

use crate::schema::{input_schema, output_schema};

/// The four annotation hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: bool,
    /// It may destroy something.
    pub destructive: bool,
    /// Repeating it changes nothing more.
    pub idempotent: bool,
    /// It reaches beyond this machine.
    pub open_world: bool,
}

impl Hints {
    /// Reads what the daemon holds.
    pub(crate) const READ: Self = Self {
        read_only: true,
        destructive: false,
        idempotent: true,
        open_world: false,
    };
    /// Reads, and may ask the run source.
    pub(crate) const READ_SOURCE: Self = Self {
        open_world: true,
        ..Self::READ
    };
    /// Adds to the daemon's state.
    pub(crate) const WRITE: Self = Self {
        read_only: false,
        ..Self::READ
    };
    /// Adds evidence from the run source.
    pub(crate) const WRITE_SOURCE: Self = Self {
        open_world: true,
        ..Self::WRITE
    };
    /// Moves a ref at the remote.
    pub(crate) const PUSH: Self = Self {
        destructive: true,
        ..Self::WRITE_SOURCE
    };
}

/// One tool.
#[derive(Clone, Copy)]
pub struct ToolSpec {
    /// Its name; also the service's command.
    pub name: &'static str,
    /// Its annotation hints.
    pub hints: Hints,
    /// How its answer is said in one line, beside the structured content.
    pub(crate) summary: Summary,
    pub(crate) parse: fn(JsonObject) -> Result<Request, String>,
    pub(crate) answer: fn(Response) -> Result<Value, String>,
    pub(crate) input: fn() -> JsonObject,
    pub(crate) output: fn() -> JsonObject,
}

/// What stands in the text block of an answer.
#[derive(Clone, Copy)]
pub(crate) enum Summary {
    /// The structured content again, for clients that read text only.
    Json,
    /// One line; the data travels once, in structured content.
    Line(fn(&Value) -> String),
}

impl ToolSpec {
    /// A tool whose arguments are `R` and whose answer is `R::Answer`.
    pub(crate) const fn new<R>(name: &'static str, hints: Hints) -> Self
    where
        R: Command + DeserializeOwned + JsonSchema + 'static,
        R::Answer: Serialize + JsonSchema + 'static,
    {
        Self {
            name,
            hints,
            summary: Summary::Json,
            parse: |arguments| {
                serde_json::from_value::<R>(Value::Object(arguments))
                    .map(Command::into_request)
                    .map_err(|error| error.to_string())
            },
            answer: |response| {
                let answer = R::from_response(response).ok_or("the answer of another command")?;
                serde_json::to_value(answer).map_err(|error| error.to_string())
            },
            input: input_schema::<R>,
            output: output_schema::<R::Answer>,
        }
    }

    pub(crate) const fn summarised(self, line: fn(&Value) -> String) -> Self {
        Self {
            summary: Summary::Line(line),
            ..self
        }
    }

    /// The tool as a client sees it.
    #[must_use]
    pub fn describe(&self) -> Tool {
        let text = prompts::tool_text(self.name);
        let title = text.map_or(self.name, |text| text.title);
        let annotations = ToolAnnotations::with_title(title)
            .read_only(self.hints.read_only)
            .destructive(self.hints.destructive)
            .idempotent(self.hints.idempotent)
            .open_world(self.hints.open_world);
        Tool::new(
            self.name,
            text.map_or("", |text| text.description),
            Arc::new((self.input)()),
        )
        .with_title(title)
        .with_raw_output_schema(Arc::new((self.output)()))
        .with_annotations(annotations)
    }
}
