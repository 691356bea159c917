use unicode_width::UnicodeWidthStr;

use super::*;

/// A staged claim as the daemon answers it; every text that an agent or a log wrote is hostile once.
fn review() -> ReviewClaimAnswer {
    serde_json::from_str(include_str!("tests/review.json")).unwrap()
}

fn layout(width: usize) -> Layout {
    Layout {
        width,
        output: Output::plain(),
        whole_diff: false,
    }
}

fn shown(review: &ReviewClaimAnswer, width: usize) -> String {
    let text = render(review, layout(width)).unwrap();
    for line in text.lines() {
        assert!(line.width() <= width, "{} columns: {line}", line.width());
    }
    assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
    text
}

#[test]
fn a_staged_claim_at_80_columns() {
    insta::assert_snapshot!(shown(&review(), 80));
}

#[test]
fn a_staged_claim_at_120_columns() {
    insta::assert_snapshot!(shown(&review(), 120));
}

#[test]
fn a_graded_claim_shows_what_was_observed() {
    let mut review = review();
    review.approval_command = None;
    review.missing.clear();
    review.approved_by = Some("approver@example.invalid".into());
    review.summary.state = "refuted".into();
    review.verdict = Some(serde_json::from_str(include_str!("tests/verdict.json")).unwrap());
    insta::assert_snapshot!(shown(&review, 100));
}

#[test]
fn a_long_diff_points_to_the_whole_one() {
    let mut review = review();
    let line = review.diff[0].lines[3].clone();
    review.diff[0].lines.extend(std::iter::repeat_n(line, 60));
    let card = shown(&review, 80);
    assert!(card.contains("greenloop review C3 --diff"), "{card}");
    let whole = render(
        &review,
        Layout {
            whole_diff: true,
            ..layout(80)
        },
    );
    assert!(whole.unwrap().lines().count() > 60 + card.lines().count() - DIFF_LINES);
}

#[test]
fn places_are_not_prefixes_of_others() {
    assert!(names("src/a.rs:12 does", "src/a.rs", 12));
    assert!(!names("src/a.rs:123 does", "src/a.rs", 12));
}
