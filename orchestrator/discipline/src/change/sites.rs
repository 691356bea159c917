//! Declared sites against the base tree and the hunks: each exists, each is touched, nothing else is.

use std::collections::BTreeMap;

use attest::claim::{ClaimKind, Site};

use super::syntax::{Parsed, parse};
use super::{ChangeClaim, Lookup};
use crate::decision::Hunk;
use crate::diff::{Diff, FileChange};
use crate::model::Refusal;

/// Refusals of sites that do not exist or are not touched, and of hunks outside every site.
pub(super) fn findings(
    diff: &Diff,
    hunks: &[Hunk],
    claim: &ChangeClaim<'_>,
    base: Lookup<'_>,
) -> Vec<Refusal> {
    let mut found = Vec::new();
    for (index, site) in claim.sites.iter().enumerate() {
        let change = diff.files.iter().find(|file| file.path == site.file);
        found.extend(check_site(index, site, change, hunks, base));
    }
    if !matches!(claim.kind, ClaimKind::Baseline) {
        found.extend(outside(diff, hunks, claim));
    }
    found
}

fn check_site(
    index: usize,
    site: &Site,
    change: Option<&FileChange>,
    hunks: &[Hunk],
    base: Lookup<'_>,
) -> Option<Refusal> {
    let field = format!("sites[{index}]");
    let at_base = match change {
        Some(change) => change.old.as_ref().map(|side| side.content.clone()),
        None => base(&site.file),
    };
    let missing =
        |reason: String, remedy: String| Some(Refusal::new("site_missing", &field, reason, remedy));
    match at_base {
        None if change.is_some() && site.line_start == 0 && site.line_end == 0 => return None,
        None if change.is_some() => {
            return missing(
                format!(
                    "{} is new, but the site says lines {}",
                    site.file,
                    range(site)
                ),
                "declare a new file with line_start = 0 and line_end = 0".into(),
            );
        }
        None => {
            return missing(
                format!("{} does not exist in the base tree", site.file),
                "name a file of the base commit, by its path from the root".into(),
            );
        }
        Some(content) => {
            if let Some((reason, remedy)) = missing_part(site, &content) {
                return missing(reason, remedy);
            }
        }
    }
    let touched = hunks
        .iter()
        .any(|hunk| hunk.file == site.file && overlaps(site, hunk));
    let changes_without_lines = change.is_some() && hunks.iter().all(|hunk| hunk.file != site.file);
    (!touched && !changes_without_lines).then(|| {
        Refusal::new(
            "site_does_not_overlap",
            &field,
            format!(
                "no hunk of the change touches {}:{}",
                site.file,
                range(site)
            ),
            format!(
                "remove the site, or name the lines that change: {}",
                hunk_list(&site.file, hunks)
            ),
        )
    })
}

/// What of the site the base content lacks, with the remedy.
fn missing_part(site: &Site, content: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(content);
    let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    let place = format!("{}:{}", site.file, range(site));
    if lines == 0 && site.line_start == 0 && site.line_end == 0 {
        return None;
    }
    if site.line_start == 0 || site.line_start > site.line_end || site.line_end > lines {
        return Some((
            format!("{place} does not exist: the base file has lines 1 to {lines}"),
            "give base lines, 1-based and inclusive; 0 and 0 only for a new file".into(),
        ));
    }
    let name = site.function.as_deref()?;
    if !site.file.ends_with(".rs") {
        let named = text
            .lines()
            .any(|line| words(line).any(|word| word == name));
        return (!named).then(|| {
            (
                format!("{} has no `{name}`", site.file),
                "leave `function` out".into(),
            )
        });
    }
    let Parsed::File(file) = parse(&text) else {
        return Some((
            format!("{} does not parse at base", site.file),
            "leave `function` out".into(),
        ));
    };
    let named: Vec<_> = file
        .functions
        .iter()
        .filter(|function| is_named(&function.path, name))
        .collect();
    if named.is_empty() {
        let around = file
            .functions
            .iter()
            .filter(|f| f.start <= site.line_start && site.line_end <= f.end);
        let around = around.max_by_key(|f| f.start).map(|f| f.path.clone());
        return Some((
            format!("{} has no function `{name}` at base", site.file),
            around.map_or("leave `function` out".into(), |path| {
                format!("these lines stand in `{path}`")
            }),
        ));
    }
    let encloses = named
        .iter()
        .any(|f| f.start <= site.line_start && site.line_end <= f.end);
    (!encloses).then(|| {
        let spans: Vec<_> = named
            .iter()
            .map(|f| format!("{}-{}", f.start, f.end))
            .collect();
        (
            format!(
                "{place} does not lie in `{name}`, which stands at lines {}",
                spans.join(", ")
            ),
            "give lines inside the function, or leave `function` out".into(),
        )
    })
}

/// `name` is the function's path or a tail of it, at a `::`.
fn is_named(path: &str, name: &str) -> bool {
    path == name
        || path
            .strip_suffix(name)
            .is_some_and(|head| head.ends_with("::"))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

/// Hunks of files that are not exempt and that no union of sites covers.
fn outside(diff: &Diff, hunks: &[Hunk], claim: &ChangeClaim<'_>) -> Vec<Refusal> {
    let mut sites: BTreeMap<&str, Vec<&Site>> = BTreeMap::new();
    for site in claim.sites {
        sites.entry(&site.file).or_default().push(site);
    }
    let pinned = claim.pinned_test.map_or(&[][..], |pin| &pin.files);
    let mut found = Vec::new();
    for file in diff
        .files
        .iter()
        .filter(|file| !pinned.contains(&file.path))
    {
        let own = sites.get(file.path.as_str()).map_or(&[][..], Vec::as_slice);
        if own.is_empty() {
            found.push(undeclared_file(file, hunks));
            continue;
        }
        for hunk in hunks
            .iter()
            .filter(|hunk| hunk.file == file.path && !covered(hunk, own, file))
        {
            found.push(Refusal::new(
                "hunk_outside_sites",
                "sites",
                format!("{} changes outside the declared sites", place(hunk)),
                format!(
                    "declare {} as a site, or leave the hunk out of this claim",
                    site_literal(hunk)
                ),
            ));
        }
    }
    found
}

fn undeclared_file(file: &FileChange, hunks: &[Hunk]) -> Refusal {
    let first = hunks.iter().find(|hunk| hunk.file == file.path);
    let (place, literal) = match first {
        Some(hunk) if file.old.is_some() => (place(hunk), site_literal(hunk)),
        _ => (
            file.path.clone(),
            format!("{{file: {}, line_start: 0, line_end: 0}}", file.path),
        ),
    };
    Refusal::new(
        "hunk_outside_sites",
        "sites",
        format!("{place} changes, and no site names the file"),
        format!(
            "declare {literal} as a site, name it in pinned_test.files if it is the claim's test, or leave it out"
        ),
    )
}

fn covered(hunk: &Hunk, sites: &[&Site], file: &FileChange) -> bool {
    if file.old.is_none() {
        return sites.iter().any(|site| site.line_start == 0);
    }
    if hunk.old_len == 0 {
        return sites
            .iter()
            .any(|site| touches_insertion(site, hunk.old_start));
    }
    let last = hunk.old_start + hunk.old_len - 1;
    let mut next = hunk.old_start;
    let mut sorted: Vec<_> = sites
        .iter()
        .map(|site| (site.line_start, site.line_end))
        .collect();
    sorted.sort_unstable();
    for (start, end) in sorted {
        if start <= next && end >= next {
            next = end.saturating_add(1);
        }
    }
    next > last
}

fn overlaps(site: &Site, hunk: &Hunk) -> bool {
    if hunk.old_len == 0 {
        return touches_insertion(site, hunk.old_start);
    }
    hunk.old_start <= site.line_end && site.line_start < hunk.old_start + hunk.old_len
}

/// An insertion after line `after` belongs to a site that holds the line before or after it.
fn touches_insertion(site: &Site, after: u32) -> bool {
    site.line_start <= after.saturating_add(1) && after <= site.line_end
}

fn range(site: &Site) -> String {
    format!("{}-{}", site.line_start, site.line_end)
}

fn place(hunk: &Hunk) -> String {
    match hunk.old_len {
        0 => format!("{}: after line {}", hunk.file, hunk.old_start),
        1 => format!("{}:{}", hunk.file, hunk.old_start),
        len => format!(
            "{}:{}-{}",
            hunk.file,
            hunk.old_start,
            hunk.old_start + len - 1
        ),
    }
}

fn site_literal(hunk: &Hunk) -> String {
    let start = hunk.old_start.max(1);
    let end = start + hunk.old_len.saturating_sub(1);
    format!(
        "{{file: {}, line_start: {start}, line_end: {end}}}",
        hunk.file
    )
}

fn hunk_list(file: &str, hunks: &[Hunk]) -> String {
    let own: Vec<_> = hunks
        .iter()
        .filter(|hunk| hunk.file == file)
        .take(5)
        .map(place)
        .collect();
    if own.is_empty() {
        format!("{file} does not change")
    } else {
        own.join("; ")
    }
}
