//! Joining the bytes of a piece by the merge list: always the pair of the lowest rank, the leftmost of equals.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The merge list over token ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Merges {
    /// Rank and result of a pair.
    pub(super) pairs: HashMap<(u32, u32), (u32, u32)>,
    /// Pieces that are one token whatever the merges say (`ignore_merges`); empty where the merges decide.
    pub(super) whole: HashMap<Vec<u8>, u32>,
}

/// A place in the list of symbols that are still to be joined.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    id: u32,
    previous: usize,
    next: usize,
    /// Joined into the symbol before it.
    gone: bool,
}

const NONE: usize = usize::MAX;

/// A pair that may be joined: rank, place of its left symbol, and the ids it was seen with.
type Candidate = Reverse<(u32, usize, u32, u32)>;

impl Merges {
    /// The token that a piece is as a whole.
    pub(super) fn whole(&self, piece: &[u8]) -> Option<u32> {
        self.whole.get(piece).copied()
    }

    /// Joins `ids` and appends what is left to `out`. Takes `n log n` steps, so that a long piece cannot stall a caller.
    pub(super) fn join(&self, ids: Vec<u32>, out: &mut Vec<u32>) {
        let count = ids.len();
        let mut symbols: Vec<Symbol> = ids
            .into_iter()
            .enumerate()
            .map(|(at, id)| Symbol {
                id,
                previous: at.checked_sub(1).unwrap_or(NONE),
                next: if at + 1 < count { at + 1 } else { NONE },
                gone: false,
            })
            .collect();
        let mut candidates: BinaryHeap<Candidate> = (0..count)
            .filter_map(|left| self.candidate(&symbols, left))
            .collect();
        while let Some(Reverse((_, left, left_id, right_id))) = candidates.pop() {
            let Symbol { id, next, gone, .. } = symbols[left];
            let stale = gone || id != left_id || next == NONE || symbols[next].id != right_id;
            let Some((_, joined)) = self.pairs.get(&(left_id, right_id)).filter(|_| !stale) else {
                continue;
            };
            let after = symbols[next].next;
            symbols[next].gone = true;
            symbols[left].id = *joined;
            symbols[left].next = after;
            if after != NONE {
                symbols[after].previous = left;
            }
            candidates.extend(self.candidate(&symbols, left));
            candidates.extend(self.candidate(&symbols, symbols[left].previous));
        }
        out.extend(symbols.iter().filter(|s| !s.gone).map(|s| s.id));
    }

    fn candidate(&self, symbols: &[Symbol], left: usize) -> Option<Candidate> {
        let symbol = symbols.get(left)?;
        let right = symbols.get(symbol.next)?.id;
        let (rank, _) = self.pairs.get(&(symbol.id, right))?;
        Some(Reverse((*rank, left, symbol.id, right)))
    }
}
