//! Process groups: who belongs to one, whether it is still the same one, and how it ends.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::cancel::timespec;

/// The identity of a process group that outlives its supervisor. Journal it, then [`reap_group`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Group id, which is the leader's process id.
    pub pgid: u32,
    /// Start of the leader in clock ticks since boot (`/proc/PID/stat` field 22).
    pub start_ticks: u64,
    /// Session the group was started in, where it was recorded.
    pub session: Option<u32>,
    /// `/proc/sys/kernel/random/boot_id`, where it was recorded: ticks and ids mean nothing across
    /// a reboot.
    pub boot_id: Option<String>,
}

/// What [`reap_group`] found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReapOutcome {
    /// No process of the group is left.
    Gone,
    /// The id belongs to somebody else now; nothing was touched.
    Reused,
    /// The group was alive and has ended.
    Reaped {
        /// Processes that were alive when it was found.
        processes: usize,
        /// Whether SIGKILL was needed.
        killed: bool,
    },
    /// Processes that even SIGKILL did not end in time (uninterruptible in the kernel).
    Surviving {
        /// Their ids.
        pids: Vec<u32>,
    },
}

/// Ends a group recorded by an earlier process: SIGTERM, `grace`, SIGKILL, then at most two more
/// seconds. Does nothing when the id has since been taken by another group.
pub fn reap_group(group: &Group, grace: Duration) -> Result<ReapOutcome, Error> {
    if let Some(recorded) = &group.boot_id
        && boot_id()? != *recorded
    {
        return Ok(ReapOutcome::Gone);
    }
    if let Some(leader) = Stat::read(group.pgid)
        && leader.start_ticks != group.start_ticks
    {
        return Ok(ReapOutcome::Reused);
    }
    let members = live_members(group.pgid)?;
    if members.is_empty() {
        return Ok(ReapOutcome::Gone);
    }
    // Without its leader a group is known by what an impostor could hardly share: every member
    // younger than the leader and in the session the supervisor had.
    let same = |stat: &Stat| {
        group.session.is_none_or(|session| stat.session == session)
            && stat.start_ticks >= group.start_ticks
    };
    if !members.iter().all(same) {
        return Ok(ReapOutcome::Reused);
    }
    end_group(group.pgid, members.len(), grace)
}

/// Ends the groups of processes of this user whose environment holds one of `marks`
/// (`NAME=value`, whole), and says how many there were. It finds what a supervisor started and was
/// killed before it could record; the caller sees to it that no living supervisor uses the marks.
///
/// # Errors
/// Processes cannot be listed or signalled.
pub fn reap_marked(marks: &[OsString], grace: Duration) -> Result<usize, Error> {
    reap_strays(marks, Duration::ZERO, grace)
}

/// As [`reap_marked`], for what a supervised command may have left beside its own group: a group that
/// ends by itself within `patience` is none, and is not counted.
///
/// # Errors
/// Processes cannot be listed or signalled.
pub fn reap_strays(
    marks: &[OsString],
    patience: Duration,
    grace: Duration,
) -> Result<usize, Error> {
    let own = Stat::read(std::process::id()).map(|stat| stat.pgid);
    let marked = all_processes()?.filter(|stat| !stat.dead && carries(stat.pid, marks));
    let groups: BTreeSet<u32> = marked.map(|stat| stat.pgid).collect();
    let strays = groups.into_iter().filter(|group| Some(*group) != own);
    let mut count = 0;
    for group in strays {
        let left = wait_until_gone(group, patience)?;
        if left.is_empty() {
            continue;
        }
        end_group(group, left.len(), grace)?;
        count += 1;
    }
    Ok(count)
}

/// Processes of other users, and those that have ended meanwhile, show no environment.
fn carries(pid: u32, marks: &[OsString]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    variables.any(|variable| marks.iter().any(|mark| mark.as_bytes() == variable))
}

fn end_group(pgid: u32, processes: usize, grace: Duration) -> Result<ReapOutcome, Error> {
    signal_group(pgid, Signal::TERM)?;
    if wait_until_gone(pgid, grace)?.is_empty() {
        return Ok(ReapOutcome::Reaped {
            processes,
            killed: false,
        });
    }
    signal_group(pgid, Signal::KILL)?;
    let survivors = wait_until_gone(pgid, Duration::from_secs(2))?;
    if survivors.is_empty() {
        return Ok(ReapOutcome::Reaped {
            processes,
            killed: true,
        });
    }
    Ok(ReapOutcome::Surviving { pids: survivors })
}

/// Waits for every member to end; returns the ids of those alive at the deadline.
fn wait_until_gone(pgid: u32, timeout: Duration) -> Result<Vec<u32>, Error> {
    let deadline = Instant::now() + timeout;
    loop {
        let members = live_members(pgid)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if members.is_empty() || left.is_zero() {
            return Ok(members.iter().map(|stat| stat.pid).collect());
        }
        let watched = watch_members(&members)?;
        let mut fds: Vec<PollFd<'_>> = watched
            .iter()
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        match rustix::event::poll(&mut fds, Some(&timespec(left))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::watch("cannot wait for a process group")(errno)),
        }
    }
}

/// One pidfd for each member that still exists; they become readable when it ends.
pub(crate) fn watch_members(members: &[Stat]) -> Result<Vec<OwnedFd>, Error> {
    let mut watched = Vec::new();
    for member in members {
        match pidfd_open(pid(member.pid)?, PidfdFlags::empty()) {
            Ok(fd) => watched.push(fd),
            Err(Errno::SRCH) => {}
            Err(errno) => return Err(Error::watch("cannot watch a process")(errno)),
        }
    }
    Ok(watched)
}

/// Sends `signal` to every process of the group; a group that has gone is no error.
pub(crate) fn signal_group(pgid: u32, signal: Signal) -> Result<(), Error> {
    match kill_process_group(pid(pgid)?, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(Error::watch("cannot signal a process group")(errno)),
    }
}

/// Processes of the group that run: a zombie holds nothing and, where nobody reaps, stays for ever.
pub(crate) fn live_members(pgid: u32) -> Result<Vec<Stat>, Error> {
    let members = all_processes()?.filter(|stat| stat.pgid == pgid && !stat.dead);
    Ok(members.collect())
}

fn all_processes() -> Result<impl Iterator<Item = Stat>, Error> {
    let entries = fs::read_dir("/proc").map_err(|source| Error::Watch {
        doing: "cannot list processes",
        source,
    })?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Stat::read))
}

pub(crate) fn pid(raw: u32) -> Result<Pid, Error> {
    i32::try_from(raw)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| Error::watch("impossible process id")(Errno::INVAL))
}

impl Group {
    /// A group of which only id and start were recorded.
    pub fn recorded(pgid: u32, start_ticks: u64) -> Group {
        Group {
            pgid,
            start_ticks,
            session: None,
            boot_id: None,
        }
    }

    /// The group led by a child of this process that has not been waited for.
    pub(crate) fn of_leader(leader: u32) -> Result<Group, Error> {
        let stat = Stat::read(leader)
            .ok_or_else(|| Error::watch("cannot read the state of a new child")(Errno::SRCH))?;
        Ok(Group {
            pgid: stat.pgid,
            start_ticks: stat.start_ticks,
            session: Some(stat.session),
            boot_id: Some(boot_id()?),
        })
    }
}

fn boot_id() -> Result<String, Error> {
    let path = "/proc/sys/kernel/random/boot_id";
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(Error::Read {
            path: path.into(),
            source,
        }),
    }
}

/// The fields of `/proc/PID/stat` that identify a process (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) pgid: u32,
    pub(crate) session: u32,
    pub(crate) start_ticks: u64,
    pub(crate) dead: bool,
}

impl Stat {
    pub(crate) fn read(pid: u32) -> Option<Stat> {
        // Bytes, because a process may call itself anything.
        let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Stat::parse(pid, &String::from_utf8_lossy(&bytes))
    }

    fn parse(pid: u32, text: &str) -> Option<Stat> {
        // The name stands in parentheses and may hold some itself; fields follow the last one.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        Some(Stat {
            pid,
            dead: matches!(*fields.first()?, "Z" | "X"),
            pgid: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let text = "7 (a) Z 1 (b) S 3 42 40 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3";
        let stat = Stat::parse(7, text).unwrap();
        assert_eq!(
            (stat.pgid, stat.session, stat.start_ticks),
            (42, 40, 987_654)
        );
        assert!(!stat.dead);
    }

    #[test]
    fn a_short_line_is_no_process() {
        assert_eq!(Stat::parse(7, "7 (a) S 3 42"), None);
        assert_eq!(Stat::parse(7, ""), None);
    }
}
