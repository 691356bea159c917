//! Which processes of this machine belong to a scene.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Living processes that stand in `folder`, or name it in their arguments or environment, with
/// their command line. The caller itself does not count.
///
/// # Errors
/// `/proc` cannot be read.
pub fn that_belong_to(folder: &Path) -> Result<Vec<(i32, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if u32::try_from(pid) != Ok(std::process::id()) && belongs(pid, folder) {
            let line = read(pid, "cmdline");
            let line = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            found.push((pid, line.collect::<Vec<_>>().join(" ")));
        }
    }
    Ok(found)
}

/// Those of [`that_belong_to`] that are still there after `patience`.
///
/// # Errors
/// `/proc` cannot be read.
pub fn that_stay(folder: &Path, patience: Duration) -> Result<Vec<(i32, String)>> {
    let deadline = Instant::now() + patience;
    loop {
        let found = that_belong_to(folder)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if found.is_empty() || left.is_zero() {
            return Ok(found);
        }
        let handles: Vec<OwnedFd> = found
            .iter()
            .filter_map(|(pid, _)| pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok())
            .collect();
        // The first one that ends is enough to look again.
        let mut fds: Vec<_> = handles
            .iter()
            .map(|handle| PollFd::new(handle, PollFlags::IN))
            .collect();
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        if !fds.is_empty() {
            poll(&mut fds, Some(&timeout))?;
        }
    }
}

fn belongs(pid: i32, folder: &Path) -> bool {
    let stands_in = std::fs::read_link(format!("/proc/{pid}/cwd"));
    // A zombie has neither folder nor arguments.
    stands_in.is_ok_and(|cwd| cwd.starts_with(folder))
        || names(&read(pid, "cmdline"), folder)
        || names(&read(pid, "environ"), folder)
}

fn names(text: &[u8], folder: &Path) -> bool {
    let name = folder.as_os_str().as_bytes();
    text.windows(name.len()).any(|window| window == name)
}

/// One that ended meanwhile, or belongs to somebody else, says nothing.
fn read(pid: i32, what: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_found_by_its_folder_and_by_its_environment() {
        let dir = tempfile::tempdir().unwrap();
        let mut inside = Command::new("cat");
        inside.current_dir(dir.path());
        let mut naming = Command::new("cat");
        naming.env("ITS_HOME", dir.path().join("home"));
        for mut command in [inside, naming] {
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            let found = that_belong_to(dir.path()).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(that_stay(dir.path(), Duration::ZERO).unwrap(), found);
            drop(child.stdin.take());
            child.wait().unwrap();
            assert_eq!(that_stay(dir.path(), Duration::from_secs(5)).unwrap(), []);
        }
    }
}
