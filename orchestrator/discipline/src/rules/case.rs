//! What rules read: the input, the rulebook, and the claim's predicates parsed once.

use attest::claim::{ClaimBody, ClaimKind};
use markers::Predicate;

use crate::decision::DecisionInput;
use crate::model::Refusal;
use crate::policy::ScopePolicy;
use crate::rulebook::{Rulebook, blind_cell};

/// A predicate of the claim, with the field it stands in.
#[derive(Debug)]
pub struct Stated<'a> {
    /// Such as `prediction[1]`.
    pub field: String,
    /// Scope whose cells it speaks about.
    pub scope: &'a str,
    /// As written.
    pub text: &'a str,
    /// As parsed and checked, or why it does not stand.
    pub predicate: Result<Predicate, Refusal>,
}

/// One claim before the rules.
#[derive(Debug)]
pub struct Case<'a> {
    /// The facts.
    pub input: &'a DecisionInput,
    /// The catalogue.
    pub rulebook: &'a Rulebook,
    /// Parsed `predictions`.
    pub predictions: Vec<Stated<'a>>,
    /// Parsed `guards`, in claim order.
    pub guards: Vec<Stated<'a>>,
    /// Predicates of `outcomes`, in claim order.
    pub outcomes: Vec<Stated<'a>>,
    /// Parsed `rollback_if`.
    pub rollback_if: Vec<Stated<'a>>,
}

impl<'a> Case<'a> {
    /// Parses the claim's predicates.
    #[must_use]
    pub fn new(input: &'a DecisionInput, rulebook: &'a Rulebook) -> Self {
        let body = &input.body;
        let own = body.proof_scope.as_str();
        let of_proof_scope =
            |texts: &'a [String]| texts.iter().map(move |text| (own, text.as_str()));
        let guards = body
            .guards
            .iter()
            .map(|guard| (guard.scope.as_str(), guard.predicate.as_str()));
        let outcomes = body
            .outcomes
            .iter()
            .map(|outcome| (own, outcome.predicate.as_str()));
        Self {
            input,
            rulebook,
            predictions: state(
                rulebook,
                "prediction",
                "",
                of_proof_scope(&body.predictions),
            ),
            outcomes: state(rulebook, "outcomes", ".predicate", outcomes),
            guards: state(rulebook, "guards", ".predicate", guards),
            rollback_if: state(
                rulebook,
                "rollback_if",
                "",
                of_proof_scope(&body.rollback_if),
            ),
        }
    }

    /// The claim.
    #[must_use]
    pub fn body(&self) -> &'a ClaimBody {
        &self.input.body
    }

    /// What this kind of claim must carry.
    #[must_use]
    pub fn demands(&self) -> Demands {
        demands(self.input.body.kind)
    }

    /// The policy of the claim's proof scope.
    #[must_use]
    pub fn scope(&self) -> Option<&'a ScopePolicy> {
        self.input
            .policy
            .policy
            .scope
            .get(&self.input.body.proof_scope)
    }

    /// Names of the cells that the proof scope's run will have; empty for an unknown scope.
    #[must_use]
    pub fn cell_names(&self) -> Vec<String> {
        self.cells_of(&self.input.body.proof_scope)
    }

    fn cells_of(&self, scope: &str) -> Vec<String> {
        let cells = self.input.policy.policy.effective_cells(scope);
        cells.into_iter().map(|cell| cell.name).collect()
    }

    /// Paths that the change touches.
    #[must_use]
    pub fn changed_paths(&self) -> Vec<&'a str> {
        self.input
            .diff
            .changed
            .iter()
            .map(|changed| changed.path.as_str())
            .collect()
    }

    /// How a predicate grades on the baseline run; `None` without one that counts.
    #[must_use]
    pub fn on_baseline(&self, predicate: &Predicate) -> Option<markers::Verdict> {
        Some(self.rulebook.evaluate(predicate, &self.baseline_cells()?))
    }

    /// As [`Case::on_baseline`], for a predicate that means revert.
    #[must_use]
    pub fn alarm_on_baseline(&self, predicate: &Predicate) -> Option<markers::Verdict> {
        Some(self.rulebook.alarm(predicate, &self.baseline_cells()?))
    }

    fn baseline_cells(&self) -> Option<Vec<markers::CellObservations>> {
        let facts = self.input.baseline.as_ref()?;
        Some(self.rulebook.whole_matrix(&self.cell_names(), &facts.cells))
    }

    /// Why the next run could tell nothing by this predicate, of which the baseline run says `verdict`: it holds
    /// already (`known`: code and remedy), or a cell can never show it (`unseen`: code).
    #[must_use]
    pub fn no_news(
        &self,
        stated: &Stated<'_>,
        verdict: &markers::Verdict,
        known: (&str, &str),
        unseen: &str,
    ) -> Option<Refusal> {
        let text = stated.text;
        if verdict.truth == markers::Truth::Holds {
            let run = &self.body().baseline_run;
            let reason = format!("`{text}` already holds on {run}: {}", verdict.why);
            return Some(Refusal::new(known.0, &stated.field, reason, known.1));
        }
        let (cell, why) = blind_cell(verdict)?;
        Some(Refusal::new(
            unseen,
            &stated.field,
            format!("`{text}` could never be seen in cell `{cell}`: {why}"),
            format!(
                "name a cell that can show it, one of: {}",
                self.cell_names().join(", ")
            ),
        ))
    }

    /// Refusals of predicates that do not parse or name a cell that will not run.
    #[must_use]
    pub fn unreadable(&self, stated: &[Stated<'a>]) -> Vec<Refusal> {
        let malformed = stated
            .iter()
            .filter_map(|s| s.predicate.as_ref().err().cloned());
        let no_cell = stated.iter().filter_map(|s| {
            let markers::Cells::One(cell) = s.predicate.as_ref().ok()?.cells() else {
                return None;
            };
            let cells = self.cells_of(s.scope);
            let unknown = !cells.is_empty() && !cells.contains(cell);
            unknown.then(|| {
                Refusal::new(
                    "cell_unknown",
                    &s.field,
                    format!("no cell `{cell}` runs in scope `{}`", s.scope),
                    format!("use one of @{}, or @* for every cell", cells.join(", @")),
                )
            })
        });
        malformed.chain(no_cell).collect()
    }
}

fn state<'a>(
    rulebook: &Rulebook,
    list: &str,
    part: &str,
    texts: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<Stated<'a>> {
    texts
        .enumerate()
        .map(|(index, (scope, text))| {
            let field = format!("{list}[{index}]{part}");
            let predicate = rulebook.parse(text, &field);
            Stated {
                field,
                scope,
                text,
                predicate,
            }
        })
        .collect()
}

/// Which parts a kind of claim must carry. Parts that are not demanded are judged when present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demands {
    /// A law of the base commit that fails.
    pub invariant: bool,
    /// Cited bytes that show it, and a run on which predictions are false.
    pub evidence: bool,
    /// A living hypothesis.
    pub hypothesis: bool,
    /// Declared places, each hunk inside one.
    pub sites: bool,
    /// A prediction that is false today.
    pub prediction: bool,
    /// A test red on base and green on head.
    pub pinned_test: bool,
    /// Telemetry that means revert.
    pub rollback_if: bool,
}

/// The table of spec 4, per kind. Gates, guards, budget, reasoning and message are always demanded.
#[must_use]
pub fn demands(kind: ClaimKind) -> Demands {
    let all = Demands {
        invariant: true,
        evidence: true,
        hypothesis: true,
        sites: true,
        prediction: true,
        pinned_test: true,
        rollback_if: true,
    };
    let none = Demands {
        invariant: false,
        evidence: false,
        hypothesis: false,
        sites: false,
        prediction: false,
        pinned_test: false,
        rollback_if: false,
    };
    match kind {
        ClaimKind::Fix => all,
        // What it demands instead is the rule `outcomes`.
        ClaimKind::Diagnostic => Demands {
            hypothesis: false,
            prediction: false,
            pinned_test: false,
            rollback_if: false,
            ..all
        },
        ClaimKind::Rollback => Demands {
            hypothesis: false,
            sites: false,
            pinned_test: false,
            ..all
        },
        ClaimKind::PolicyChange => Demands {
            sites: true,
            rollback_if: true,
            ..none
        },
        ClaimKind::Baseline => none,
    }
}
