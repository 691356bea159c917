//! Wall clock and processor time of processes, as proc(5) tells them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks per second that Linux shows to programs, whatever its own are.
const USER_HZ: u64 = 100;

/// Wall clock and processor time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Spent {
    pub(crate) fn add(&mut self, other: Spent) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// Processor time of the daemon and of every process that it has waited for.
pub(crate) fn daemon_cpu(pid: i32) -> Result<Duration> {
    let times = times(&format!("/proc/{pid}/stat"))?;
    Ok(times.iter().sum())
}

/// Processor time of the processes that this one has waited for.
pub(crate) fn children_cpu() -> Result<Duration> {
    let times = times("/proc/self/stat")?;
    Ok(times[2] + times[3])
}

/// `utime`, `stime`, `cutime` and `cstime` of proc(5).
fn times(path: &str) -> Result<[Duration; 4]> {
    let stat = fs::read_to_string(path)?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || -> Result<Duration> {
        let ticks = ticks.next().context("stat is short")??;
        Ok(Duration::from_millis(ticks * 1000 / USER_HZ))
    };
    Ok([next()?, next()?, next()?, next()?])
}
