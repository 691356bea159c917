//! Which entries of a run's log archive belong to which job.
//!
//! Layout, as GitHub writes it: `N_JOB.txt` (also `-N_JOB.txt`) at the top is a job's whole log,
//! `JOB/N_STEP.txt` is one step's, `JOB/system.txt` the runner's own. In `JOB` the characters that
//! file names cannot hold are left out, and it is cut at 90 UTF-16 units, also in the middle of a
//! character. A name that this could have made equal to another's proves nothing; such a job is
//! read by its own call instead.

use std::collections::BTreeMap;
use std::fmt;

use super::Entry;

/// Longest name that is never cut, UTF-16 units.
const NAME_UNITS: usize = 90;
/// Characters that are left out of names.
const LEFT_OUT: &[char] = &['/', ':', '\\', '<', '>', '"', '|', '?', '*'];

/// Entries of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobEntries {
    /// Entry of the whole log.
    pub whole: Option<usize>,
    /// Entries of steps, by step number.
    pub steps: BTreeMap<u32, usize>,
}

/// Why a job's entries cannot be told by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncertain {
    /// Two jobs have one name, or would have once it is shortened.
    SharedName,
    /// The name is long enough to be cut.
    LongName,
    /// The name holds characters that are left out.
    StrippedName,
    /// Two entries could be this job's.
    SharedEntry,
}

impl fmt::Display for Uncertain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Uncertain::SharedName => "another job has the same name",
            Uncertain::LongName => "the job's name is longer than 90 UTF-16 units",
            Uncertain::StrippedName => {
                "the job's name holds characters that the archive leaves out"
            }
            Uncertain::SharedEntry => "two entries could be this job's",
        })
    }
}

/// What the archive has of a job.
pub type Attribution = Result<JobEntries, Uncertain>;

/// One answer per job name, in order. A job that the archive does not hold has no entries.
pub fn attribute(jobs: &[&str], entries: &[Entry]) -> Vec<Attribution> {
    let mut by_stem: BTreeMap<String, usize> = BTreeMap::new();
    for name in jobs {
        *by_stem.entry(stem(name)).or_default() += 1;
    }
    jobs.iter()
        .map(|name| {
            let stem = stem(name);
            if by_stem.get(&stem).is_some_and(|count| *count > 1) {
                return Err(Uncertain::SharedName);
            }
            if name.encode_utf16().count() > NAME_UNITS {
                return Err(Uncertain::LongName);
            }
            if stem != **name {
                return Err(Uncertain::StrippedName);
            }
            entries_of(name, entries)
        })
        .collect()
}

fn entries_of(job: &str, entries: &[Entry]) -> Attribution {
    let mut found = JobEntries::default();
    for entry in entries.iter().filter(|entry| !entry.is_folder) {
        let (folder, file) = match entry.name.rsplit_once('/') {
            Some((folder, file)) => (Some(folder), file),
            None => (None, entry.name.as_str()),
        };
        let Some((number, title)) = numbered(file) else {
            continue;
        };
        let taken = match folder {
            None if title == job => found.whole.replace(entry.index),
            Some(folder) if folder == job => u32::try_from(number)
                .ok()
                .and_then(|step| found.steps.insert(step, entry.index)),
            _ => None,
        };
        if taken.is_some() {
            return Err(Uncertain::SharedEntry);
        }
    }
    Ok(found)
}

/// `N_TITLE.txt` or `-N_TITLE.txt`.
fn numbered(file: &str) -> Option<(i64, &str)> {
    let (number, title) = file.strip_suffix(".txt")?.split_once('_')?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| number.parse().ok())?
        .map(|number| (number, title))
}

/// The name as the archive would write it; a character cut in its middle is left out.
fn stem(name: &str) -> String {
    let mut units = 0;
    name.chars()
        .filter(|c| !LEFT_OUT.contains(c) && !c.is_control())
        .take_while(|c| {
            units += c.len_utf16();
            units <= NAME_UNITS
        })
        .collect()
}
