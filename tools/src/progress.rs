//! Progress from worker threads to a client: strictly increasing, at most four notes a second.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;
use service::{Progress, Update};
use tokio::sync::mpsc;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);

/// Takes updates on any thread; a task of the connection sends them.
pub(crate) struct Notes {
    queue: mpsc::UnboundedSender<Update>,
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Pace {
    last_sent: Option<Instant>,
    last_done: Option<u64>,
}

impl Pace {
    /// Whether an update may go out now.
    fn admit(&mut self, done: u64, now: Instant) -> bool {
        let soon = self
            .last_sent
            .is_some_and(|at| now.duration_since(at) < SHORTEST_INTERVAL);
        let stale = self.last_done.is_some_and(|last| done <= last);
        if soon || stale {
            return false;
        }
        self.last_sent = Some(now);
        self.last_done = Some(done);
        true
    }
}

impl Notes {
    /// Starts the task that sends notes under the client's token; it ends with this value.
    pub(crate) fn start(peer: Peer<RoleServer>, token: ProgressToken) -> Self {
        let (queue, mut updates) = mpsc::unbounded_channel::<Update>();
        tokio::spawn(async move {
            while let Some(update) = updates.recv().await {
                if peer
                    .notify_progress(note(token.clone(), update))
                    .await
                    .is_err()
                {
                    break;
                }
            }
        });
        Self {
            queue,
            pace: Mutex::new(Pace::default()),
        }
    }
}

impl Progress for Notes {
    fn report(&self, update: Update) {
        let admitted = match self.pace.lock() {
            Ok(mut pace) => pace.admit(update.done, Instant::now()),
            Err(_) => false,
        };
        if admitted {
            // The client may be gone; the work goes on without it.
            let _ = self.queue.send(update);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the protocol counts progress in doubles"
)]
fn note(token: ProgressToken, update: Update) -> ProgressNotificationParam {
    let note =
        ProgressNotificationParam::new(token, update.done as f64).with_message(update.message);
    match update.total {
        Some(total) => note.with_total(total as f64),
        None => note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_increase_and_keep_their_distance() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let later = |ms| start + Duration::from_millis(ms);
        assert!(pace.admit(1, start));
        assert!(!pace.admit(2, later(100)), "too soon");
        assert!(!pace.admit(1, later(300)), "not more than before");
        assert!(pace.admit(2, later(300)));
        assert!(!pace.admit(3, later(549)));
        assert!(pace.admit(4, later(550)));
    }
}
