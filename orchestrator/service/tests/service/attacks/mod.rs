//! An agent with a shell, its own clone and the remote of the repository under care, but neither the
//! person's key nor the daemon's state, plays against the rule that nothing reaches the runner unless
//! it is a claim. Each attack names the code and the place that stop it.

mod approvals;
mod changes;
mod gates;
mod objects;
mod remote;
mod way_back;
mod words;

use service::{ServiceError, api};

use crate::dishonest::{BLOCKS, BLOCKS_LINES, Claim, Tree, declare};
use crate::support::{Bench, run};

/// What stops an attack: the code, the field, and words of the reason.
type Stop = (&'static str, &'static str, &'static str);

/// One attack on a claim: name, the tree, the words, every stop.
type Row = (&'static str, Tree, Claim, &'static [Stop]);

/// A red run, a loop, the right theory and the honest fix, over which attacks are laid one by one.
struct Field {
    bench: Bench,
    red: api::RunView,
    loop_id: String,
    cause: String,
    honest: String,
}

impl Field {
    fn over(bench: Bench) -> Field {
        let (red, loop_id, cause) = bench.suspected();
        let honest = bench.fix();
        Field {
            bench,
            red,
            loop_id,
            cause,
            honest,
        }
    }

    /// The honest draft for a commit.
    fn draft(&self, commit: &str) -> api::ClaimDraft {
        self.bench.good_draft(&self.red, &self.cause, commit)
    }

    /// A commit of what `tree` makes of the honest fix.
    fn commit(&self, tree: impl FnOnce(&std::path::Path)) -> String {
        let clone = self.bench.clone_path();
        let git = |args: &[&str]| run(&clone, "git", args);
        git(&["checkout", "-q", "-f", "-B", "attack", &self.honest]);
        git(&["clean", "-qfdx"]);
        tree(&clone);
        git(&["add", "-A"]);
        git(&["commit", "-q", "--allow-empty", "-m", "attack"]);
        git(&["rev-parse", "HEAD"])
    }

    /// A draft for a commit that declares every file which it changes.
    fn declared(&self, commit: &str) -> api::ClaimDraft {
        let mut draft = self.draft(commit);
        (draft.sites[0].line_start, draft.sites[0].line_end) = (1, BLOCKS_LINES);
        draft.sites[0].function = None;
        declare(&self.bench.clone_path(), &mut draft, commit);
        debug_assert_eq!(draft.sites[0].file, BLOCKS);
        draft
    }

    fn check(&self, draft: &api::ClaimDraft) -> Result<Vec<api::RefusalView>, ServiceError> {
        let request = api::CheckClaimRequest {
            loop_id: self.loop_id.clone(),
            draft: draft.clone(),
        };
        Ok(self.bench.agent(request)?.refused)
    }

    /// Plays the rows and says which of them were not stopped as they say.
    fn play(&self, rows: &[Row]) {
        let mut wrong = Vec::new();
        for (name, tree, claim, stops) in rows {
            let commit = self.commit(tree);
            let mut draft = self.declared(&commit);
            claim(&mut draft);
            match self.check(&draft) {
                Ok(refused) => {
                    wrong.extend(unmatched(&refused, stops).map(|what| format!("{name}: {what}")))
                }
                Err(error) => wrong.push(format!("{name}: {error}")),
            }
        }
        let count = (wrong.len(), rows.len());
        assert!(wrong.is_empty(), "{count:?}:\n{}", wrong.join("\n"));
    }
}

/// What is refused must be exactly these stops, in any order.
fn unmatched(refused: &[api::RefusalView], stops: &[Stop]) -> Option<String> {
    let is = |(code, field, words): &Stop, refusal: &api::RefusalView| {
        refusal.code == *code && refusal.field == *field && refusal.reason.contains(words)
    };
    let stopped = stops
        .iter()
        .all(|stop| refused.iter().any(|refusal| is(stop, refusal)));
    let explained = refused
        .iter()
        .all(|refusal| stops.iter().any(|stop| is(stop, refusal)));
    let said: Vec<String> = refused
        .iter()
        .map(|refusal| format!("{} @ {}: {}", refusal.code, refusal.field, refusal.reason))
        .collect();
    (!stopped || !explained).then(|| format!("[{}], expected {stops:?}", said.join("; ")))
}

/// The one refusal, which must be this.
fn only(refused: &[api::RefusalView], stop: Stop) {
    assert_eq!(unmatched(refused, &[stop]), None);
}
