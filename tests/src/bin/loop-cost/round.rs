//! What one round of both sides took, and what that says.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::spent::Spent;

/// What the loop may add.
const BOUND: f64 = 0.05;
/// What it may add to gates that are over before that counts.
const ALLOWED: Duration = Duration::from_millis(500);

/// One round of both sides.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// `propose_claim` alone.
    pub(crate) proposed: Duration,
    /// From the proposal to the approval.
    pub(crate) by_loop: Spent,
    /// What the loop says that its processes took.
    pub(crate) processes: Duration,
    /// The same commands by hand.
    pub(crate) by_hand: Spent,
    /// Those of them that a person would hardly run: canaries.
    pub(crate) canaries: Spent,
    /// What making the rooms ready takes, by its parts; the loop does it too.
    pub(crate) ready: BTreeMap<&'static str, Duration>,
}

impl Round {
    fn added(&self) -> (f64, f64) {
        let over = |ours: Duration, theirs: Duration| {
            ours.as_secs_f64() / theirs.as_secs_f64().max(1e-9) - 1.0
        };
        (
            over(self.by_loop.wall, self.by_hand.wall),
            over(self.by_loop.cpu, self.by_hand.cpu),
        )
    }

    /// The loop's time between its processes, over theirs: of one and the same playing, so that what else the machine
    /// does meets both.
    fn between(&self) -> f64 {
        self.by_loop.wall.as_secs_f64() / self.processes.as_secs_f64().max(1e-9) - 1.0
    }

    pub(crate) fn line(&self) -> String {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let parts = self.ready.iter();
        let parts: Vec<String> = parts
            .map(|(name, time)| format!("{name} {}", seconds(*time)))
            .collect();
        let (wall, cpu) = self.added();
        format!(
            "loop {} wall {} cpu (propose_claim {}, its processes {}, {:+.1} % between them); by hand {} wall {} cpu \
             (canaries {} wall); added {:+.1} % wall {:+.1} % cpu; making ready by the same steps: {}",
            seconds(self.by_loop.wall),
            seconds(self.by_loop.cpu),
            seconds(self.proposed),
            seconds(self.processes),
            self.between() * 100.0,
            seconds(self.by_hand.wall),
            seconds(self.by_hand.cpu),
            seconds(self.canaries.wall),
            wall * 100.0,
            cpu * 100.0,
            parts.join(", ")
        )
    }
}

pub(crate) fn summary(rounds: &[Round]) -> Result<()> {
    let median = |of: &dyn Fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let (wall, cpu) = (
        median(&|round| round.added().0),
        median(&|round| round.added().1),
    );
    let between = median(&Round::between);
    let seconds = median(&|round| round.by_loop.wall.as_secs_f64() - round.processes.as_secs_f64());
    println!(
        "by hand: the loop's own commands (pinned test on base and head, gates, canaries) in rooms made ready beforehand; the \
         loop's alone: rooms, fetch and metadata, inventories, transcripts, journal, approval"
    );
    println!(
        "over the same commands by hand the loop takes {:+.1} % wall and {:+.1} % cpu; between its own processes {seconds:.2} s, \
         {:+.1} % of theirs; median of {} rounds; the bound is {:.0} %, or {} ms of shorter gates",
        wall * 100.0,
        cpu * 100.0,
        between * 100.0,
        rounds.len(),
        BOUND * 100.0,
        ALLOWED.as_millis()
    );
    ensure!(
        between <= BOUND || seconds <= ALLOWED.as_secs_f64(),
        "the loop adds more than it may"
    );
    Ok(())
}
