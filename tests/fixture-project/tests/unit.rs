//! What each path promises by itself.

use tally::{blocks, reference};

#[test]
fn reference_adds_up() {
    assert_eq!(reference::totals(&[1, 2, 3]), [1, 3, 6]);
}

#[test]
fn blocks_carry_over() {
    assert_eq!(blocks::totals(&[1; 8]), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn partial_blocks_count() {
    assert_eq!(blocks::block_count(9), 3);
    assert_eq!(blocks::block_count(0), 0);
}
