//! A request that waits for its answer: what may come before it, and how long that may take.

use std::time::{Duration, Instant};

use super::client::WorkerOptions;
use super::gpu::WARM_UP;
use super::protocol::{Answer, Request, RequestId};

/// Signs of life that one request may give; no step has more than a hundred.
const MAX_PROGRESS: u32 = 4096;

/// What a worker says before its final answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A chosen token.
    Token(u32),
    /// How far a long step is.
    Progress {
        /// `pipelines` or `weights`.
        step: String,
        /// Part that is done.
        done: u64,
        /// The whole.
        total: u64,
    },
}

/// A request in progress: how much may come before its answer, and until when.
pub(super) struct Asked {
    pub(super) id: RequestId,
    step: &'static str,
    tokens_left: u32,
    tokens: u32,
    progress_left: u32,
    /// While pipelines are built: when that must be over.
    warm_up_ends: Option<Instant>,
}

impl Asked {
    pub(super) fn new(request: &Request) -> Self {
        Self {
            id: request.id(),
            step: request.step(),
            tokens_left: match request {
                Request::Predict { prompt, .. } => prompt.greedy,
                _ => 0,
            },
            tokens: 0,
            progress_left: MAX_PROGRESS,
            warm_up_ends: None,
        }
    }

    /// Name and limit of what is waited for.
    pub(super) fn limit(&self, options: &WorkerOptions) -> (&'static str, Duration) {
        match self.warm_up_ends {
            None => (self.step, options.step_timeout),
            Some(end) => {
                let left = end.saturating_duration_since(Instant::now());
                ("warm_up", left)
            }
        }
    }

    /// What an answer before the final one means; an answer too many is none.
    pub(super) fn event(
        &mut self,
        answer: Answer,
        options: &WorkerOptions,
    ) -> Result<Event, String> {
        match answer {
            Answer::StreamToken { index, token, .. } => {
                if index != self.tokens || self.tokens_left == 0 {
                    return Err(format!("token {index} after {} tokens", self.tokens));
                }
                self.tokens += 1;
                self.tokens_left -= 1;
                Ok(Event::Token(token))
            }
            Answer::Progress {
                step, done, total, ..
            } => {
                self.progress_left = self
                    .progress_left
                    .checked_sub(1)
                    .ok_or_else(|| "progress without end".to_owned())?;
                let building = step == WARM_UP && done < total;
                let end = || Instant::now() + options.warm_up_timeout;
                self.warm_up_ends = building.then(|| self.warm_up_ends.unwrap_or_else(end));
                Ok(Event::Progress { step, done, total })
            }
            other => Err(format!("unexpected answer {other:?}")),
        }
    }
}
