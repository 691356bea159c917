//! What the forge can be told to do with a run: cancel it, run it again. An order is sent once: whether
//! one arrived whose answer was lost is read from the run, and nothing is sent blindly again.

use exec::Cancel;

use super::Github;
use super::client::{backoff, network, pause};
use crate::forge::model::WorkflowRun;
use crate::forge::{Forge, ForgeError};

/// Which jobs run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rerun {
    /// Every job.
    All,
    /// Those that failed, and what depends on them.
    Failed,
}

impl Github {
    /// Cancels a run that has not ended; returns it as it is afterwards, which may still be on its way
    /// to its end.
    ///
    /// # Errors
    /// The credential may not do this, the forge refuses, or whether the order arrived is not known.
    pub fn cancel_run(&self, run_id: &str, cancel: &Cancel) -> Result<WorkflowRun, ForgeError> {
        let before = self.run(run_id, None, cancel)?;
        if before.is_completed() {
            return Ok(before);
        }
        let path = self.run_path(run_id, "/cancel")?;
        let done = |now: &WorkflowRun| now.is_completed();
        self.order(&path, run_id, "cancelling the run", &done, cancel)
    }

    /// Runs a run's jobs again as its next attempt; returns the run as it is afterwards.
    ///
    /// # Errors
    /// The run has not ended, the credential may not do this, the forge refuses, or whether the order
    /// arrived is not known.
    pub fn rerun(
        &self,
        run_id: &str,
        which: Rerun,
        cancel: &Cancel,
    ) -> Result<WorkflowRun, ForgeError> {
        let doing = "running the run again";
        let before = self.run(run_id, None, cancel)?;
        if !before.is_completed() {
            return Err(not_taken(
                doing,
                "it has not ended; cancel it or wait for its end",
            ));
        }
        let rest = match which {
            Rerun::All => "/rerun",
            Rerun::Failed => "/rerun-failed-jobs",
        };
        let path = self.run_path(run_id, rest)?;
        let done = |now: &WorkflowRun| now.attempt() > before.attempt();
        self.order(&path, run_id, doing, &done, cancel)
    }

    fn order(
        &self,
        path: &str,
        run_id: &str,
        doing: &str,
        done: &dyn Fn(&WorkflowRun) -> bool,
        cancel: &Cancel,
    ) -> Result<WorkflowRun, ForgeError> {
        match self.client.post(path, doing, cancel) {
            Ok(answer) if answer.status.is_success() => self.run(run_id, None, cancel),
            Ok(answer) => match answer.status.as_u16() {
                403 => Err(ForgeError::Forbidden {
                    what: format!("{doing}, for which it needs write access to actions"),
                }),
                status => {
                    // Refused because it is so already, as a run that ended meanwhile.
                    let now = self.run(run_id, None, cancel)?;
                    match done(&now) {
                        true => Ok(now),
                        false => Err(not_taken(doing, &format!("status {status}"))),
                    }
                }
            },
            Err(ForgeError::Network { what, .. }) => {
                self.read_back(run_id, doing, &what, done, cancel)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks whether an order arrived whose answer did not.
    fn read_back(
        &self,
        run_id: &str,
        doing: &str,
        what: &str,
        done: &dyn Fn(&WorkflowRun) -> bool,
        cancel: &Cancel,
    ) -> Result<WorkflowRun, ForgeError> {
        let patience = self.client.settings().patience;
        for look in 0..patience.tries {
            let now = self.run(run_id, None, cancel)?;
            if done(&now) {
                return Ok(now);
            }
            pause(backoff(&patience, look + 1), cancel)?;
        }
        let what = format!("{what}; nothing shows that the order arrived, and it was sent once");
        Err(network(doing, what))
    }
}

fn not_taken(doing: &str, what: &str) -> ForgeError {
    ForgeError::NotTaken {
        doing: doing.to_owned(),
        what: what.to_owned(),
    }
}
