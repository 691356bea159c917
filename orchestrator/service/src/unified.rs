//! A diff as lines with context, from the objects of two trees.

use discipline::decision::Hunk;
use discipline::diff::{Diff, FileChange, FileMode, FileSide};

use crate::api::{DiffLineKind, DiffLineView, FileDiffView};

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;
/// Most lines of one answer.
const MAX_LINES: usize = 4000;
/// Longest line that is shown whole, characters.
const MAX_CHARS: usize = 2000;

/// Every changed file with its lines; `hunks` are those of the same diff.
pub(crate) fn files(diff: &Diff, hunks: &[Hunk]) -> Vec<FileDiffView> {
    let mut room = MAX_LINES;
    diff.files
        .iter()
        .map(|file| {
            let own: Vec<&Hunk> = hunks.iter().filter(|hunk| hunk.file == file.path).collect();
            let mut lines = lines(file, &own);
            let left_out = lines.len().saturating_sub(room);
            lines.truncate(room);
            room -= lines.len();
            FileDiffView {
                path: file.path.clone(),
                what: what(file),
                lines,
                left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
            }
        })
        .collect()
}

fn what(file: &FileChange) -> String {
    let said = match (&file.old, &file.new) {
        (None, Some(new)) => format!("new {}", mode_word(new.mode)),
        (Some(old), None) => format!("deleted {}", mode_word(old.mode)),
        (Some(old), Some(new)) if old.mode != new.mode => {
            format!(
                "changed, mode {} → {}",
                mode_word(old.mode),
                mode_word(new.mode)
            )
        }
        _ => "changed".to_owned(),
    };
    let binary =
        |side: &Option<FileSide>| side.as_ref().is_some_and(|side| side.content.contains(&0));
    match binary(&file.old) || binary(&file.new) {
        true => format!("{said}, not text"),
        false => said,
    }
}

fn mode_word(mode: FileMode) -> &'static str {
    match mode {
        FileMode::Regular => "file",
        FileMode::Executable => "executable file",
        FileMode::Symlink => "symbolic link",
        FileMode::Submodule => "submodule",
    }
}

fn lines(file: &FileChange, hunks: &[&Hunk]) -> Vec<DiffLineView> {
    let (old, new) = (content(file.old.as_ref()), content(file.new.as_ref()));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut shown = Vec::new();
    // Lines of both sides that are behind us.
    let (mut at_old, mut at_new) = (0, 0);
    for (index, hunk) in hunks.iter().enumerate() {
        let (from_old, from_new) = (
            first(hunk.old_start, hunk.old_len).max(at_old),
            first(hunk.new_start, hunk.new_len).max(at_new),
        );
        let between = from_old - at_old;
        let after = if index == 0 { 0 } else { CONTEXT.min(between) };
        let before = CONTEXT.min(between - after);
        context(&old, at_old, at_new, after, &mut shown);
        if after + before < between {
            shown.push(line(DiffLineKind::Gap, None, None, ""));
        }
        context(
            &old,
            from_old - before,
            from_new - before.min(from_new),
            before,
            &mut shown,
        );
        (at_old, at_new) = (from_old, from_new);
        for _ in 0..hunk.old_len {
            let text = old.get(at_old).copied().unwrap_or_default();
            at_old += 1;
            shown.push(line(DiffLineKind::Removed, Some(at_old), None, text));
        }
        for _ in 0..hunk.new_len {
            let text = new.get(at_new).copied().unwrap_or_default();
            at_new += 1;
            shown.push(line(DiffLineKind::Added, None, Some(at_new), text));
        }
    }
    if !hunks.is_empty() {
        let rest = old.len().saturating_sub(at_old);
        context(&old, at_old, at_new, CONTEXT.min(rest), &mut shown);
        if rest > CONTEXT {
            shown.push(line(DiffLineKind::Gap, None, None, ""));
        }
    }
    shown
}

fn context(
    old: &[&str],
    at_old: usize,
    at_new: usize,
    count: usize,
    shown: &mut Vec<DiffLineView>,
) {
    for (offset, text) in old.iter().skip(at_old).take(count).enumerate() {
        shown.push(line(
            DiffLineKind::Context,
            Some(at_old + offset + 1),
            Some(at_new + offset + 1),
            text,
        ));
    }
}

/// Index of the first line of a side; one of no lines stands after the line it names.
fn first(start: u32, len: u32) -> usize {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    if len == 0 {
        start
    } else {
        start.saturating_sub(1)
    }
}

fn line(kind: DiffLineKind, old: Option<usize>, new: Option<usize>, text: &str) -> DiffLineView {
    let number = |line: usize| u32::try_from(line).unwrap_or(u32::MAX);
    let mut shown: String = text.chars().take(MAX_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    DiffLineView {
        kind,
        old_line: old.map(number),
        new_line: new.map(number),
        text: shown,
    }
}

fn content(side: Option<&FileSide>) -> String {
    let bytes = side.map(|side| side.content.as_slice()).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use discipline::change::hunks;

    use super::*;

    fn side(text: &str) -> Option<FileSide> {
        Some(FileSide {
            mode: FileMode::Regular,
            oid: "0".repeat(40),
            content: text.as_bytes().to_vec(),
        })
    }

    fn shown(old: Option<FileSide>, new: Option<FileSide>) -> String {
        let diff = Diff {
            files: vec![FileChange {
                path: "a.rs".into(),
                path_escaped: false,
                old,
                new,
            }],
            ..Diff::default()
        };
        let files = files(&diff, &hunks(&diff));
        let mut text = format!("{}\n", files[0].what);
        for line in &files[0].lines {
            let sign = match line.kind {
                DiffLineKind::Context => ' ',
                DiffLineKind::Removed => '-',
                DiffLineKind::Added => '+',
                DiffLineKind::Gap => '~',
            };
            let number = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
            text.push_str(&format!(
                "{:>2} {:>2} {sign}{}\n",
                number(line.old_line),
                number(line.new_line),
                line.text
            ));
        }
        text
    }

    #[test]
    fn changes_stand_in_their_context() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("5\n", "five\n").replace("19\n", "");
        // `15` became `1five` too: two changes close together share their context.
        assert_eq!(
            shown(side(&old), side(&new)),
            "changed\n      ~\n 2  2  2\n 3  3  3\n 4  4  4\n 5    -5\n    5 +five\n 6  6  6\n 7  7  7\n 8  8  8\n      ~\n12 12  12\n13 13  13\n14 14  14\n15    -15\n   15 +1five\n16 16  16\n17 17  17\n18 18  18\n19    -19\n20 19  20\n"
        );
    }

    #[test]
    fn new_deleted_and_binary_files_say_so() {
        assert_eq!(shown(None, side("a\nb")), "new file\n    1 +a\n    2 +b\n");
        assert_eq!(shown(side("a\n"), None), "deleted file\n 1    -a\n");
        assert_eq!(shown(side("a\0"), side("b\0")), "changed, not text\n");
    }
}
