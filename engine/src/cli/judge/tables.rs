//! Streams, findings and plans as tables for people and as rows of JSON.

use engine::graph::Graph;
use engine::hazard::Finding;
use engine::ir::{ByteRange, Command, CommandIr, RangeAccess, ScopeSet};
use engine::plan::{Plan, Request};
use serde_json::{Value, json};

use super::super::{Outcome, say};

/// Commands as JSON rows.
pub(super) fn commands(stream: &CommandIr) -> Vec<Value> {
    let rows = stream.commands.iter().zip(stream.submit_numbers());
    rows.zip(stream.queues())
        .enumerate()
        .map(|(index, ((command, submit), queue))| {
            json!({
                "index": index,
                "submit": submit,
                "origin": command.origin(),
                "queue": queue,
                "name": command.name(),
                "tap": command.is_tap(),
                "reads": ranges(command, |access| access.access.reads()),
                "writes": ranges(command, |access| access.access.writes()),
                "command": command,
            })
        })
        .collect()
}

fn ranges(command: &Command, holds: fn(&RangeAccess) -> bool) -> Vec<ByteRange> {
    let accesses = command.accesses().into_iter();
    accesses.filter(holds).map(|access| access.range).collect()
}

fn listed(ranges: &[ByteRange]) -> String {
    let texts: Vec<String> = ranges.iter().map(ByteRange::to_string).collect();
    texts.join(" ")
}

/// A stream, one command per line.
pub(super) fn stream(stream: &CommandIr) -> Outcome {
    say("index submit origin command                  what it touches")?;
    let rows = stream.commands.iter().zip(stream.submit_numbers());
    for (index, ((command, submit), queue)) in rows.zip(stream.queues()).enumerate() {
        let name = command.origin().name();
        let origin = queue.map_or(name.to_owned(), |queue| format!("{name}{}", queue.0));
        let line = format!(
            "{index:5} {submit:6} {origin:6} {:24} {}",
            command.name(),
            touched(command)
        );
        say(line.trim_end())?;
    }
    Ok(())
}

fn touched(command: &Command) -> String {
    if let Command::Barrier(barrier) = command {
        let (src, dst) = (scopes(barrier.src), scopes(barrier.dst));
        return format!("{src} -> {dst}: {}", listed(&barrier.ranges));
    }
    let accesses = command.accesses();
    let texts = accesses
        .iter()
        .map(|access| format!("{}:{}", access.access.name(), access.range));
    texts.collect::<Vec<_>>().join(" ")
}

fn scopes(scope: ScopeSet) -> String {
    if scope == ScopeSet::DEVICE {
        "device".to_owned()
    } else {
        scope.names().join("+")
    }
}

/// Findings, one per line.
pub(super) fn findings(findings: &[Finding]) -> Outcome {
    if findings.is_empty() {
        return Ok(());
    }
    say("hazard                 first                    second                   bytes")?;
    for finding in findings {
        let named = |index: usize, name: &str| format!("{index}:{name}");
        let first = finding.first.as_ref();
        say(&format!(
            "{:22} {:24} {:24} {}",
            finding.kind.name(),
            first.map_or("none".to_owned(), |first| named(first.index, &first.name)),
            named(finding.second.index, &finding.second.name),
            finding.range
        ))?;
    }
    Ok(())
}

/// Places as JSON rows.
pub(super) fn places(graph: &Graph, plan: &Plan) -> Vec<Value> {
    plan.places()
        .map(|(id, range)| {
            let request = request(plan, id);
            json!({
                "id": id,
                "name": graph.tensor(id).name,
                "range": range,
                "first": request.map(|r| r.first),
                "last": request.map(|r| r.last),
                "pinned": request.is_some_and(|r| r.pinned),
                "takes_over": request.map_or(Vec::new(), |r| earlier(graph, plan, r)),
            })
        })
        .collect()
}

/// A plan, one tensor per line.
pub(super) fn plan(graph: &Graph, plan: &Plan) -> Outcome {
    say("tensor               bytes                        steps      takes over from")?;
    for (id, range) in plan.places() {
        let name = &graph.tensor(id).name;
        let (steps, earlier) = match request(plan, id) {
            Some(r) => {
                let pinned = if r.pinned { " pinned" } else { "" };
                let steps = format!("{}..{}{pinned}", r.first, r.last);
                (steps, earlier(graph, plan, r).join(" "))
            }
            None => ("lasting".to_owned(), String::new()),
        };
        say(format!("{name:20} {:28} {steps:10} {earlier}", range.to_string()).trim_end())?;
    }
    Ok(())
}

fn request(plan: &Plan, id: engine::tensor::TensorId) -> Option<&Request> {
    plan.requests().iter().find(|request| request.tensor == id)
}

/// The latest earlier occupants of a request's bytes: those that no other one lies between.
fn earlier(graph: &Graph, plan: &Plan, request: &Request) -> Vec<String> {
    let mut occupants: Vec<&Request> = plan.earlier_occupants(request).collect();
    occupants.sort_by_key(|occupant| std::cmp::Reverse(occupant.last));
    occupants.truncate(4);
    let names = occupants.into_iter();
    names.map(|r| graph.tensor(r.tensor).name.clone()).collect()
}
