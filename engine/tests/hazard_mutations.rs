//! Every barrier that the recorder places is needed: without it, or with less of it, `hazard` finds something, or the part
//! that was taken away is shown to be redundant by an oracle that looks at every pair of accesses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;

use engine::hazard::{self, HazardKind};
use engine::ir::{Barrier, ByteRange, Command, CommandIr, Region, ScopeSet};
use engine::model::{Model, PassRequest};
use engine::record::Recording;
use engine::validate::{insert_taps, plan_taps};
use support::{bytes, data, gpu_profiles};

/// A read or write of one stream.
#[derive(Debug, Clone, Copy)]
struct Access {
    command: usize,
    range: ByteRange,
    scope: ScopeSet,
    writes: bool,
    by_host: bool,
}

fn accesses(ir: &CommandIr) -> Vec<Access> {
    let mut all = Vec::new();
    for (index, command) in ir.commands.iter().enumerate() {
        let by_host = matches!(
            command,
            Command::HostWrite { .. } | Command::HostRead { .. }
        );
        for access in command.accesses() {
            for (holds, writes) in [
                (access.access.reads(), false),
                (access.access.writes(), true),
            ] {
                let scope = match (command, writes) {
                    (Command::HostRead { .. }, _) => ScopeSet::HOST_READ,
                    (Command::Dispatch(_), true) => ScopeSet::SHADER_WRITE,
                    (Command::Dispatch(_), false) => ScopeSet::SHADER_READ,
                    (_, true) => ScopeSet::TRANSFER_WRITE,
                    (_, false) => ScopeSet::TRANSFER_READ,
                };
                if holds {
                    all.push(Access {
                        command: index,
                        range: access.range,
                        scope,
                        writes,
                        by_host,
                    });
                }
            }
        }
    }
    all
}

fn stages(scope: ScopeSet) -> [bool; 3] {
    [scope.has_compute(), scope.has_transfer(), scope.has_host()]
}

fn meet(a: [bool; 3], b: [bool; 3]) -> bool {
    a.iter().zip(b).any(|(a, b)| *a && b)
}

/// Whether `later` comes after `earlier` and, where that one wrote, sees it, on bytes that no barrier cuts.
fn is_ordered(ir: &CommandIr, earlier: &Access, later: &Access, bytes: &ByteRange) -> bool {
    let (mut after, mut available, mut visible) = ([false; 3], false, ScopeSet::default());
    let (mut submitted, mut completed) = (false, false);
    for command in &ir.commands[earlier.command + 1..later.command] {
        match command {
            Command::SubmitBoundary(_) => submitted = true,
            Command::FenceWait if submitted => {
                (after, available, completed) = ([true, true, after[2]], true, true);
                visible = visible.union(ScopeSet::DEVICE);
            }
            Command::Barrier(Barrier {
                src, dst, ranges, ..
            }) => {
                let src_stages = stages(*src);
                if !meet(src_stages, stages(earlier.scope)) && !meet(src_stages, after) {
                    continue;
                }
                for (stage, named) in after.iter_mut().zip(stages(*dst)) {
                    *stage |= named;
                }
                if ranges.iter().any(|range| range.contains(bytes)) {
                    available |= src.contains(earlier.scope);
                    visible = if available {
                        visible.union(*dst)
                    } else {
                        visible
                    };
                }
            }
            _ => {}
        }
    }
    let seen = !earlier.writes || visible.contains(later.scope);
    if later.by_host {
        completed && seen
    } else {
        meet(after, stages(later.scope)) && seen
    }
}

/// Pairs of commands that nothing orders, by looking at every access and what touched its bytes last.
fn unordered_pairs(ir: &CommandIr) -> BTreeSet<(usize, usize)> {
    let all = accesses(ir);
    let mut cuts: Vec<(Region, u64)> = Vec::new();
    let ranges = all.iter().map(|access| access.range);
    let shown = ir.commands.iter().filter_map(|command| match command {
        Command::Barrier(barrier) => Some(barrier.ranges.iter().copied()),
        _ => None,
    });
    for range in ranges.chain(shown.flatten()) {
        cuts.extend([(range.region, range.offset), (range.region, range.end())]);
    }
    cuts.sort_unstable();
    cuts.dedup();
    let mut pairs = BTreeSet::new();
    for window in cuts.windows(2) {
        let [(region, start), (other, end)] = window else {
            continue;
        };
        if region != other {
            continue;
        }
        let piece = ByteRange::new(*region, *start, end - start);
        let touching: Vec<&Access> = all.iter().filter(|a| a.range.contains(&piece)).collect();
        check_piece(ir, &touching, &piece, &mut pairs);
    }
    pairs
}

fn check_piece(
    ir: &CommandIr,
    touching: &[&Access],
    piece: &ByteRange,
    pairs: &mut BTreeSet<(usize, usize)>,
) {
    for (at, later) in touching.iter().enumerate() {
        for earlier in touching[..at].iter().rev() {
            let same = earlier.command == later.command;
            if !same && !earlier.by_host && (earlier.writes || later.writes) {
                let host_write = later.by_host && later.writes;
                assert!(!host_write, "clean streams do not write in flight");
                if !is_ordered(ir, earlier, later, piece) {
                    pairs.insert((earlier.command, later.command));
                }
            }
            // What lies behind a write is that write's business.
            if earlier.writes && !same {
                break;
            }
        }
    }
}

/// What can be taken away from a barrier, each as another stream.
fn mutations(ir: &CommandIr, at: usize) -> Vec<(String, CommandIr)> {
    let Command::Barrier(barrier) = &ir.commands[at] else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let mut dropped = ir.clone();
    dropped.commands.remove(at);
    all.push(("dropped".to_owned(), dropped));
    let mut change = |what: String, changed: Barrier| {
        let mut mutated = ir.clone();
        mutated.commands[at] = Command::Barrier(changed);
        all.push((what, mutated));
    };
    for (number, range) in barrier.ranges.iter().enumerate() {
        let half = range.len / 8 * 4;
        let parts = [
            None,
            Some(ByteRange {
                len: half,
                ..*range
            }),
            Some(ByteRange::new(
                range.region,
                range.offset + half,
                range.len - half,
            )),
        ];
        for part in parts {
            let mut changed = barrier.clone();
            changed
                .ranges
                .splice(number..=number, part.filter(|part| part.len > 0));
            change(format!("range {number} is {part:?}"), changed);
        }
    }
    let scopes = [
        ScopeSet::SHADER_READ,
        ScopeSet::SHADER_WRITE,
        ScopeSet::TRANSFER_READ,
        ScopeSet::TRANSFER_WRITE,
        ScopeSet::HOST_READ,
    ];
    let without = |set: ScopeSet, gone: ScopeSet| {
        let kept = scopes
            .iter()
            .filter(|scope| set.contains(**scope) && **scope != gone);
        kept.fold(ScopeSet::default(), |set, scope| set.union(*scope))
    };
    for gone in scopes {
        if barrier.src.contains(gone) {
            let src = without(barrier.src, gone);
            change(
                format!("src without {:?}", gone.names()),
                Barrier {
                    src,
                    ..barrier.clone()
                },
            );
        }
        if barrier.dst.contains(gone) {
            let dst = without(barrier.dst, gone);
            change(
                format!("dst without {:?}", gone.names()),
                Barrier {
                    dst,
                    ..barrier.clone()
                },
            );
        }
    }
    all
}

fn is_about_order(kind: HazardKind) -> bool {
    matches!(
        kind,
        HazardKind::ReadAfterWrite
            | HazardKind::WriteAfterRead
            | HazardKind::WriteAfterWrite
            | HazardKind::HostAccessInFlight
            | HazardKind::NotVisibleToHost
    )
}

#[test]
fn what_is_taken_from_a_barrier_is_found_or_was_redundant() {
    let file = bytes(&data().join("models/llama-a.f32.gguf"));
    let model = Model::load(&file, Some(64)).unwrap();
    let tokens: Vec<u32> = (0..7).collect();
    let (mut found, mut redundant) = (0, 0);
    for pass in [PassRequest::prefill(&tokens), PassRequest::decode(7, 24)] {
        for profile in gpu_profiles().iter().take(4) {
            let recording = Recording::new(&model, &pass, profile, u64::MAX).unwrap();
            let Recording {
                graph,
                plan,
                mut ir,
            } = recording;
            if profile.mode.has_taps() {
                let taps = plan_taps(&graph, &plan, ir.region_size(Region::Readback)).unwrap();
                ir = insert_taps(&ir, &taps).unwrap();
            }
            assert_eq!(unordered_pairs(&ir), BTreeSet::new(), "{:?}", profile.mode);
            for at in 0..ir.commands.len() {
                for (what, mutated) in mutations(&ir, at) {
                    let pairs = unordered_pairs(&mutated);
                    let findings = hazard::check(&mutated);
                    let judged: BTreeSet<(usize, usize)> = findings
                        .iter()
                        .filter(|finding| is_about_order(finding.kind))
                        .map(|finding| {
                            (finding.first.as_ref().unwrap().index, finding.second.index)
                        })
                        .collect();
                    let label = format!("{:?} barrier {at} {what}", profile.mode);
                    assert_eq!(
                        judged.is_empty(),
                        pairs.is_empty(),
                        "{label}: {judged:?} {pairs:?}"
                    );
                    assert!(pairs.is_subset(&judged), "{label}: {judged:?} {pairs:?}");
                    if pairs.is_empty() {
                        redundant += 1;
                        assert!(what != "dropped", "{label} was not needed at all");
                    } else {
                        found += 1;
                    }
                }
            }
        }
    }
    println!("{found} mutations found, {redundant} redundant");
    assert!(found > 500, "{found} found");
}
