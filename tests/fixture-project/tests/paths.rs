//! Compares the block path with the reference, and says where they part.

use tally::{blocks, reference};

fn values(len: usize) -> Vec<i64> {
    (1..=len as i64).map(|n| n * n - 3).collect()
}

/// Prints what an engine would print of itself, so that the loop can be rehearsed without one.
struct Telemetry {
    run: usize,
    lines: usize,
}

impl Telemetry {
    fn line(&mut self, tag: &str, fields: &str) {
        println!("{tag} v=1 run={:08x} seq={} {fields}", self.run, self.lines);
        self.lines += 1;
    }

    fn pass(&mut self, path: &str, dispatches: usize) {
        let fields = format!(
            "role=target path={path} phase=prefill pass=0 submits=1 dispatches={dispatches} barriers=0 cb_us=1 \
             sum_us=n/a gap_us=n/a ts=summary shader_buckets=disabled(mode=summary)"
        );
        self.line("[GPU PERDISPATCH]", &fields);
    }
}

/// The block path plays the single-graph path, the reference the multi-submit path.
fn compare(len: usize) {
    let values = values(len);
    let (want, got) = (reference::totals(&values), blocks::totals(&values));
    let mut telemetry = Telemetry { run: len, lines: 0 };
    telemetry.line(
        "[BACKEND]",
        "backend=cpu device=\"none\" driver=\"none\" api=1.0.0 cpu_fallback=false mode=CpuReference",
    );
    telemetry.pass("legacy_multi_submit", len);
    telemetry.pass("single_graph", blocks::block_count(len));
    if let Some(at) = want.iter().zip(&got).position(|(want, got)| want != got) {
        let kind = if got[at] == 0 { "zeros" } else { "drift" };
        let fields = format!(
            "path=single_graph phase=prefill pass=0 layer={} tensor_stage=totals kind={kind} cpu={} gpu={} \
             op=total_block dispatched={} inputs_ok=true last_writer=none region=out",
            at / tally::BLOCK,
            want[at],
            got[at],
            got[at] != 0
        );
        telemetry.line("FIRST_DIVERGENCE", &fields);
    }
    let lines = telemetry.lines;
    telemetry.line("[TELEMETRY END]", &format!("lines={lines}"));
    assert_eq!(
        want, got,
        "running totals of {len} values differ between the paths"
    );
}

#[test]
fn path_equivalence_whole_blocks() {
    compare(8);
}

#[test]
fn path_equivalence_partial_block() {
    compare(10);
}

#[test]
fn path_equivalence_less_than_a_block() {
    compare(3);
}

#[test]
fn path_equivalence_empty() {
    compare(0);
}
