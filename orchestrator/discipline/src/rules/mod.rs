//! The list of rules that stand between a claim and the runner, and [`decide`] that runs them.
//!
//! One rule is one file's function: it reads a [`Case`] and returns every refusal it has. Nothing
//! short-circuits, so that all reasons are said at once; a rule that lacks its facts refuses.

mod approval;
mod attempts;
mod baseline;
mod budget;
mod case;
mod certain;
mod dead_code;
mod evidence;
mod exhibits;
mod gates;
mod guards;
mod hypothesis;
mod identity;
mod invariant;
mod kind;
mod outcomes;
mod pinned;
mod prediction;
mod results;
mod rollback;
mod scope;
mod sites;
mod target;
mod wording;

#[cfg(test)]
mod tests;

pub use case::{Case, Demands, demands};

use crate::decision::{Decision, DecisionInput, RULES_VERSION, RuleResult, Stage};
use crate::model::Refusal;
use crate::overrides::part;
use crate::rulebook::Rulebook;

/// The rule that every gate passed, or was red before what a rollback takes back.
pub const GATE_RESULTS: &str = "gate_results";

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Name in decisions and audits.
    pub name: &'static str,
    /// First stage that knows what it needs.
    pub stage: Stage,
    /// Every refusal it has.
    pub judge: fn(&Case<'_>) -> Vec<Refusal>,
}

/// Every rule, in the order decisions list them.
pub const RULES: &[Rule] = &[
    Rule {
        name: "identity",
        stage: Stage::Propose,
        judge: identity::judge,
    },
    Rule {
        name: "kind",
        stage: Stage::Propose,
        judge: kind::judge,
    },
    Rule {
        name: "scope",
        stage: Stage::Propose,
        judge: scope::judge,
    },
    Rule {
        name: "failing_invariant",
        stage: Stage::Propose,
        judge: invariant::judge,
    },
    Rule {
        name: "evidence",
        stage: Stage::Propose,
        judge: evidence::judge,
    },
    Rule {
        name: "exhibits",
        stage: Stage::Propose,
        judge: exhibits::judge,
    },
    Rule {
        name: "baseline_run",
        stage: Stage::Propose,
        judge: baseline::judge,
    },
    Rule {
        name: "hypothesis",
        stage: Stage::Propose,
        judge: hypothesis::judge,
    },
    Rule {
        name: "earlier_attempts",
        stage: Stage::Propose,
        judge: attempts::judge,
    },
    Rule {
        name: "sites",
        stage: Stage::Propose,
        judge: sites::judge,
    },
    Rule {
        name: "diff_findings",
        stage: Stage::Propose,
        judge: sites::judge_findings,
    },
    Rule {
        name: "reasoning",
        stage: Stage::Propose,
        judge: wording::judge_reasoning,
    },
    Rule {
        name: "prediction",
        stage: Stage::Propose,
        judge: prediction::judge,
    },
    Rule {
        name: "outcomes",
        stage: Stage::Propose,
        judge: outcomes::judge,
    },
    Rule {
        name: "guards",
        stage: Stage::Propose,
        judge: guards::judge,
    },
    Rule {
        name: "gates",
        stage: Stage::Propose,
        judge: gates::judge,
    },
    Rule {
        name: "pinned_test",
        stage: Stage::Propose,
        judge: pinned::judge,
    },
    Rule {
        name: "rollback_if",
        stage: Stage::Propose,
        judge: rollback::judge,
    },
    Rule {
        name: "budget",
        stage: Stage::Propose,
        judge: budget::judge,
    },
    Rule {
        name: "message",
        stage: Stage::Propose,
        judge: wording::judge_message,
    },
    Rule {
        name: GATE_RESULTS,
        stage: Stage::Gates,
        judge: results::judge,
    },
    Rule {
        name: "gate_trees",
        stage: Stage::Gates,
        judge: results::judge_trees,
    },
    Rule {
        name: "gate_coverage",
        stage: Stage::Gates,
        judge: results::judge_coverage,
    },
    Rule {
        name: "dead_code",
        stage: Stage::Gates,
        judge: dead_code::judge,
    },
    Rule {
        name: "canaries",
        stage: Stage::Gates,
        judge: results::judge_canaries,
    },
    Rule {
        name: "pinned_test_results",
        stage: Stage::Gates,
        judge: pinned::judge_results,
    },
    Rule {
        name: "approval",
        stage: Stage::Push,
        judge: approval::judge,
    },
    Rule {
        name: "target",
        stage: Stage::Push,
        judge: target::judge,
    },
];

/// Judges a claim up to `stage`. Pure: the same input and rulebook give the same decision for ever.
#[must_use]
pub fn decide(input: &DecisionInput, rulebook: &Rulebook, stage: Stage) -> Decision {
    let case = Case::new(input, rulebook);
    let rules: Vec<RuleResult> = RULES
        .iter()
        .filter(|rule| rule.stage <= stage)
        .map(|rule| {
            let scope = &input.body.proof_scope;
            let all = (rule.judge)(&case);
            let (refused, overridden) = part(all, &input.overrides, scope, input.now_ms);
            RuleResult {
                rule: rule.name.to_owned(),
                stage: rule.stage,
                refused,
                overridden,
            }
        })
        .collect();
    let allowed = rules.iter().all(|rule| rule.refused.is_empty());
    Decision {
        rules_version: RULES_VERSION,
        stage,
        rules,
        allowed,
    }
}
