//! Hunks without context, per text file.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::decision::Hunk;
use crate::diff::{Diff, FileChange, FileMode, FileSide};

/// Sum over the files of a diff of (differing lines)²; beyond it a file is one hunk. Bounds the time
/// that a hostile diff can cost without asking a clock.
const WORK_BUDGET: u64 = 2_000_000_000;

/// Hunks of every changed text file, in path order.
///
/// Line numbers are 1-based. As in a unified diff without context, a side of length 0 starts at the
/// line *after* which it stands: 0 is the top of the file.
#[must_use]
pub fn hunks(diff: &Diff) -> Vec<Hunk> {
    let mut budget = WORK_BUDGET;
    diff.files
        .iter()
        .flat_map(|file| file_hunks(file, &mut budget))
        .collect()
}

fn file_hunks(file: &FileChange, budget: &mut u64) -> Vec<Hunk> {
    let (Some(old), Some(new)) = (text(file.old.as_ref()), text(file.new.as_ref())) else {
        return Vec::new();
    };
    let (old, new) = (split_lines(old), split_lines(new));
    let prefix = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[prefix..], &new[prefix..]);
    let suffix = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    if old.is_empty() && new.is_empty() {
        return Vec::new();
    }
    let hunk = |old_at: usize, old_len: usize, new_at: usize, new_len: usize| Hunk {
        file: file.path.clone(),
        old_start: start(prefix + old_at, old_len),
        old_len: clamp(old_len),
        new_start: start(prefix + new_at, new_len),
        new_len: clamp(new_len),
    };
    let cost = ((old.len() + new.len()) as u64).saturating_pow(2);
    if old.is_empty() || new.is_empty() || cost > *budget {
        return vec![hunk(0, old.len(), 0, new.len())];
    }
    *budget -= cost;
    let ops = capture_diff_slices(Algorithm::Myers, old, new);
    ops.iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| {
            let (old, new) = (op.old_range(), op.new_range());
            hunk(old.start, old.len(), new.start, new.len())
        })
        .collect()
}

/// Content of a side that lines can be counted in; an absent side is empty.
fn text(side: Option<&FileSide>) -> Option<&[u8]> {
    match side {
        None => Some(&[]),
        Some(side) if side.mode == FileMode::Submodule => None,
        Some(side) if side.content.contains(&0) => None,
        Some(side) => Some(&side.content),
    }
}

/// Lines with their terminators, so that a lost last newline is a change.
fn split_lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|&byte| byte == b'\n').collect()
}

fn start(at: usize, len: usize) -> u32 {
    clamp(if len == 0 { at } else { at + 1 })
}

fn clamp(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
