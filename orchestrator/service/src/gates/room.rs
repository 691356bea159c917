//! What is found in the room after a process: files it wrote, and processes it left.

use std::ffi::OsString;
use std::time::Duration;

use super::Bench;
use crate::ServiceError;

/// How long a process that its test has told to end may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what is ended gets before it is killed.
const GRACE: Duration = Duration::from_secs(1);

impl Bench<'_> {
    /// Remembers the room's files, and the dependencies that it was filled with, as they are now.
    pub(super) fn note_filled(&self) -> Result<(), ServiceError> {
        *self.filled.borrow_mut() = Some(self.room.stamp()?);
        self.dependencies.set(Some(self.dependencies_now()?));
        Ok(())
    }

    /// True when somebody wrote to the dependencies since the room was filled. They are then forgotten: what another
    /// gate is filled with must not be what this one made of it.
    pub(super) fn dependencies_written(&self) -> Result<bool, ServiceError> {
        let now = self.dependencies_now()?;
        if self.dependencies.get().is_none_or(|filled| filled == now) {
            return Ok(false);
        }
        tracing::warn!(claim = %self.claim.id, "a gate wrote to the dependencies; they are forgotten");
        self.shared.seeds.forget()?;
        self.shared.cargo_home.forget_packages()?;
        self.dependencies.set(Some(self.dependencies_now()?));
        Ok(true)
    }

    fn dependencies_now(&self) -> Result<u64, ServiceError> {
        let mut folders = self.shared.cargo_home.packages();
        folders.push(self.shared.rooms.seeds());
        Ok(repo::folders_stamp(&folders)?)
    }

    /// Files of the tree that are not as they were filled in.
    pub(super) fn changed_since_filled(&self) -> Result<Vec<String>, ServiceError> {
        let now = self.room.stamp()?;
        let filled = self.filled.borrow();
        Ok(filled
            .as_ref()
            .map(|filled| filled.changed(&now))
            .unwrap_or_default())
    }

    /// Ends processes that left their group, found by the room's own home in their environment. One
    /// that hides its environment can only write; that is seen in the files.
    pub(super) fn end_strays(&self) -> Result<usize, ServiceError> {
        let mut mark = OsString::from("HOME=");
        mark.push(self.room.home());
        Ok(exec::reap_strays(&[mark], PATIENCE, GRACE)?)
    }
}
