//! Reports as text for people.

use std::fmt::Write as _;

use discipline::model::{GateVerdict, Grade, Refusal, VerdictKind};
use discipline::overrides::Override;

use crate::audit::AuditReport;
use crate::prereceive::PushReport;
use crate::report::{CommitReport, Warning};

/// A push as the pusher sees it on standard error.
#[must_use]
pub fn push_text(report: &PushReport) -> String {
    let mut out = Text::default();
    let answer = if report.accepted {
        "accepted"
    } else {
        "refused"
    };
    out.line(&format!("greenloop-verify: push {answer}"));
    out.refusals(&report.refused);
    for commit in &report.commits {
        out.line(&format!(
            "{} {}",
            short(&commit.commit),
            printable(&commit.subject)
        ));
        out.refusals(&commit.refused);
        out.warnings(&commit.warnings);
    }
    out.warnings(&report.warnings);
    out.0
}

/// An audit, newest commit first.
#[must_use]
pub fn audit_text(report: &AuditReport) -> String {
    let mut out = Text::default();
    for commit in &report.commits {
        let mark = if commit.accepted {
            "ok     "
        } else {
            "REFUSED"
        };
        out.line(&format!(
            "{mark} {} {}",
            short(&commit.commit),
            printable(&commit.subject)
        ));
        if let Some(approver) = &commit.approver {
            out.line(&format!(
                "        approved by {}",
                printable(&approver.principal)
            ));
        }
        override_lines(&commit.overrides, &mut out);
        if let Some(verdict) = &commit.verdict {
            out.line(&format!(
                "        verdict {}",
                kind_name(verdict.verdict.kind)
            ));
        }
        out.refusals(&commit.refused);
        out.warnings(&commit.warnings);
    }
    out.refusals(&report.refused);
    out.warnings(&report.warnings);
    let answer = if report.accepted {
        "accepted"
    } else {
        "refused"
    };
    let count = report.commits.len();
    out.line(&format!("audit {answer}: {count} commit(s) replayed"));
    out.0
}

/// Why a commit was pushed: claim, rules, approval and verdict.
#[must_use]
pub fn why_text(report: &CommitReport) -> String {
    let mut out = Text::default();
    out.line(&format!(
        "commit  {} {}",
        report.commit,
        printable(&report.subject)
    ));
    claim_lines(report, &mut out);
    gate_lines(report, &mut out);
    rule_lines(report, &mut out);
    approver_lines(report, &mut out);
    verdict_lines(report, &mut out);
    out.warnings(&report.warnings);
    out.refusals(&report.refused);
    let version = report
        .rules_version
        .map_or_else(|| "?".to_owned(), |v| v.to_string());
    out.line(&match report.accepted {
        true => format!(
            "replay  identical decision under rules v{version}; evidence {}",
            report.evidence
        ),
        false => format!("replay  REFUSED ({} reason(s))", report.refused.len()),
    });
    out.0
}

fn claim_lines(report: &CommitReport, out: &mut Text) {
    let Some(claim) = &report.claim else {
        return;
    };
    let id = report.claim_id.as_deref().unwrap_or("?");
    let digest = report
        .claim_digest
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    out.line(&format!("claim   {} {digest}", printable(id)));
    out.line(&format!(
        "        {:?} of {} in scope {}",
        claim.kind,
        printable(&claim.failing_invariant),
        printable(&claim.proof_scope)
    ));
    out.line(&format!(
        "        on {} by {} (self-declared)",
        printable(&claim.ref_name),
        printable(&claim.author)
    ));
    out.line(&format!("reason  {}", printable(&claim.reasoning)));
    if let Some(hypothesis) = &report.hypothesis {
        out.line(&format!(
            "        hypothesis {} ({:?}), {}",
            hypothesis.id, hypothesis.mechanism, hypothesis.status
        ));
    }
    for citation in &claim.evidence {
        out.line(&format!(
            "cites   {} lines {}-{}",
            citation.log_id, citation.line_start, citation.line_end
        ));
    }
    for prediction in &claim.predictions {
        out.line(&format!("predict {}", printable(prediction)));
    }
    for outcome in &claim.outcomes {
        out.line(&format!(
            "outcome {} kills {}",
            printable(&outcome.predicate),
            printable(&outcome.kills.join(", "))
        ));
    }
    for condition in &claim.rollback_if {
        out.line(&format!("revert  if {}", printable(condition)));
    }
}

fn gate_lines(report: &CommitReport, out: &mut Text) {
    for gate in &report.gates {
        let verdict = match gate.verdict {
            GateVerdict::Passed => "passed",
            GateVerdict::Vacuous => "vacuous",
            GateVerdict::Refused => "refused",
        };
        let (passed, failed) = gate.tests;
        out.line(&format!(
            "gate    {} {verdict}: {passed} passed, {failed} failed, {} ms",
            printable(&gate.name),
            gate.duration_ms
        ));
    }
}

fn rule_lines(report: &CommitReport, out: &mut Text) {
    let Some(decision) = &report.decision else {
        return;
    };
    for rule in &decision.rules {
        let mark = if rule.refused.is_empty() {
            "ok"
        } else {
            "REFUSED"
        };
        out.line(&format!("rule    {}: {mark}", rule.rule));
        for passed in &rule.overridden {
            let refusal = &passed.refusal;
            out.line(&format!(
                "        {} PASSES OVER [{}] {}",
                passed.by,
                refusal.code,
                printable(&refusal.reason)
            ));
        }
    }
    override_lines(&report.overrides, out);
}

/// A person's words against rules of cost, as they stood when the push was decided.
fn override_lines(overrides: &[Override], out: &mut Text) {
    for granted in overrides {
        out.line(&format!(
            "override {} of {} by {} until {} ms: {}",
            granted.id,
            printable(&granted.code),
            printable(&granted.author.name),
            granted.expires_ms,
            printable(&granted.reason)
        ));
    }
}

fn approver_lines(report: &CommitReport, out: &mut Text) {
    if let Some(approver) = &report.approver {
        let touched = if approver.touched { ", touched" } else { "" };
        out.line(&format!(
            "signed  by {} ({} {}{touched}), who was shown {}",
            printable(&approver.principal),
            approver.key_type,
            approver.fingerprint,
            approver.shown
        ));
    }
}

fn verdict_lines(report: &CommitReport, out: &mut Text) {
    let Some(view) = &report.verdict else {
        out.line("verdict none yet");
        return;
    };
    let pinned = if view.pinned {
        "pinned key"
    } else {
        "self-asserted key"
    };
    let kind = kind_name(view.verdict.kind);
    out.line(&format!(
        "verdict {kind} by run {}, signed at {} ms by {} ({pinned})",
        view.verdict.run_id, view.at_ms, view.signed_by
    ));
    grade_lines(&view.verdict.grades, out);
    for scope in &view.verdict.other_scopes {
        let run = scope.run_id.as_ref().map_or("no run", |run| run.as_str());
        out.line(&format!(
            "        guards of {} {} ({})",
            printable(&scope.scope),
            scope.outcome.as_str(),
            printable(run)
        ));
        for reason in &scope.reasons {
            out.line(&format!("        {}", printable(reason)));
        }
        grade_lines(&scope.grades, out);
    }
    if view.verdict.rollback_due {
        out.line("        ROLLBACK DUE");
    }
}

fn grade_lines(grades: &[Grade], out: &mut Text) {
    for grade in grades {
        out.line(&format!(
            "        {:?} {} {}: {}",
            grade.truth,
            grade.role,
            printable(&grade.predicate),
            printable(&grade.observed)
        ));
    }
}

fn kind_name(kind: VerdictKind) -> &'static str {
    match kind {
        VerdictKind::Confirmed => "confirmed",
        VerdictKind::Refuted => "refuted",
        VerdictKind::Inconclusive => "inconclusive",
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Text of others on a terminal: controls and bidirectional overrides are shown, not obeyed.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || gitread::path::has_bidi_control(c.encode_utf8(&mut [0; 4])) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn refusals(&mut self, refused: &[Refusal]) {
        for refusal in refused {
            self.line(&format!(
                "  refused [{}] {}: {}",
                refusal.code,
                printable(&refusal.field),
                printable(&refusal.reason)
            ));
            self.line(&format!("    remedy: {}", printable(&refusal.remedy)));
        }
    }

    fn warnings(&mut self, warnings: &[Warning]) {
        for warning in warnings {
            self.line(&format!(
                "  warning [{}] {}",
                warning.code,
                printable(&warning.text)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\u{202e}c\u{e9}"),
            "a\\u{1b}[2Jb\\u{202e}c\u{e9}"
        );
    }
}
