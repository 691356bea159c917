// Sums of a block of rows of w with one row of x: SPLIT lanes share the columns of ROWS rows of w, so that a lane reads its
// part of x once for all of them. `weight_row` says which row of w is row r of a lane group; the kernel defines it.

const BLOCK_ROWS = 64u / SPLIT * ROWS;
var<workgroup> partial_sums: array<f32, 64u * ROWS>;

// Leaves the partial sums of the block in workgroup memory; `block_total` reads them.
fn block_sums(block: u32, lane: u32, x_row: u32, n_in: u32) {
    let slice = lane % SPLIT;
    let lane_group = lane / SPLIT;
    let columns = unit_columns(n_in);
    var sums: array<f32, ROWS>;
    for (var column = slice * 32u; column < columns; column += SPLIT * 32u) {
        let at = x_row + column;
        let x = array<Octet, 4>(x_octet(at), x_octet(at + 8u), x_octet(at + 16u), x_octet(at + 24u));
        let sum = (octet_sum(x[0]) + octet_sum(x[1])) + (octet_sum(x[2]) + octet_sum(x[3]));
        for (var r = 0u; r < ROWS; r += 1u) {
            sums[r] += unit_dot(weight_row(block, lane_group, r) * n_in + column, x, sum);
        }
    }
    for (var column = columns + slice; column < n_in; column += SPLIT) {
        let value = x_element(x_row + column);
        for (var r = 0u; r < ROWS; r += 1u) {
            sums[r] += weight(weight_row(block, lane_group, r) * n_in + column) * value;
        }
    }
    for (var r = 0u; r < ROWS; r += 1u) {
        partial_sums[(lane_group * ROWS + r) * SPLIT + slice] = sums[r];
    }
    workgroupBarrier();
}

// Sum of row r of the block, counted lane group by lane group.
fn block_total(r: u32) -> f32 {
    var total = 0.0;
    for (var s = 0u; s < SPLIT; s += 1u) {
        total += partial_sums[r * SPLIT + s];
    }
    return total;
}
