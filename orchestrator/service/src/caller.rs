//! Who calls, and how they hear of progress.

use discipline::event::Author;

/// Who a command comes from. The transport decides `operator`, never the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Peer user id, from the socket.
    pub uid: u32,
    /// Self-declared name; unverified.
    pub name: String,
    /// True on the operator's socket, false on the agent's.
    pub operator: bool,
}

impl Caller {
    /// The caller as the journal keeps it.
    #[must_use]
    pub fn author(&self) -> Author {
        Author {
            uid: self.uid,
            name: self.name.clone(),
        }
    }
}

/// One step of long work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// How much is done, in `total`'s unit; never shrinks within one call.
    pub done: u64,
    /// How much there is, where that is known.
    pub total: Option<u64>,
    /// What happens now, in a few words; never text of a log.
    pub message: String,
}

/// Hears of progress. Called from worker threads; must not block for long.
pub trait Progress: Send + Sync {
    /// Takes one update.
    fn report(&self, update: Update);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&self, _update: Update) {}
}
