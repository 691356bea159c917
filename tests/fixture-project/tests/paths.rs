//! Compares the block path with the reference, and says where they part.

use tally::{blocks, reference};

fn values(len: usize) -> Vec<i64> {
    (1..=len as i64).map(|n| n * n - 3).collect()
}

fn compare(len: usize) {
    let values = values(len);
    let (want, got) = (reference::totals(&values), blocks::totals(&values));
    println!(
        "[BACKEND] v=1 run={len:08x} seq=0 backend=blocks device=\"none\" driver=\"none\" api=1.0.0 cpu_fallback=false mode=Blocks"
    );
    let parted = want.iter().zip(&got).position(|(want, got)| want != got);
    if let Some(at) = parted {
        let kind = if got[at] == 0 { "zeros" } else { "drift" };
        println!(
            "FIRST_DIVERGENCE v=1 run={len:08x} seq=1 path=blocks phase=total pass={len} layer={} tensor_stage=totals kind={kind} cpu={} gpu={} op=total_block dispatched={} inputs_ok=true last_writer=none region=out",
            at / tally::BLOCK,
            want[at],
            got[at],
            got[at] != 0
        );
    }
    let lines = if parted.is_some() { 2 } else { 1 };
    println!("[TELEMETRY END] v=1 run={len:08x} seq={lines} lines={lines}");
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
