// y[t, o] = sum_i w[o, i] * x[t, i] for one row of activations per group row: SPLIT lanes share the columns of ROWS rows of w,
// so that a lane reads its part of x once for all of them.

const WEIGHTS = 2;
struct Immediates { n_in: u32, n_out: u32, n_tokens: u32 }

@group(0) @binding(1) var<storage, read_write> y: Floats;
var<immediate> im: Immediates;

const BLOCK_ROWS = 64u / SPLIT * ROWS;
var<workgroup> partial_sums: array<f32, 64u * ROWS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let slice = lane % SPLIT;
    let first_row = group.x * BLOCK_ROWS + lane / SPLIT * ROWS;
    let x_row = group.y * im.n_in;
    let columns = unit_columns(im.n_in);
    var sums: array<f32, ROWS>;
    for (var column = slice * 32u; column < columns; column += SPLIT * 32u) {
        let at = x_row + column;
        let x = array<Octet, 4>(x_octet(at), x_octet(at + 8u), x_octet(at + 16u), x_octet(at + 24u));
        let sum = (octet_sum(x[0]) + octet_sum(x[1])) + (octet_sum(x[2]) + octet_sum(x[3]));
        for (var r = 0u; r < ROWS; r += 1u) {
            // Rows behind the last repeat it, and are dropped below.
            let row = min(first_row + r, im.n_out - 1u);
            sums[r] += unit_dot(row * im.n_in + column, x, sum);
        }
    }
    for (var column = columns + slice; column < im.n_in; column += SPLIT) {
        let value = x_element(x_row + column);
        for (var r = 0u; r < ROWS; r += 1u) {
            let row = min(first_row + r, im.n_out - 1u);
            sums[r] += weight(row * im.n_in + column) * value;
        }
    }
    for (var r = 0u; r < ROWS; r += 1u) {
        partial_sums[(lane / SPLIT * ROWS + r) * SPLIT + slice] = sums[r];
    }
    workgroupBarrier();
    for (var r = lane; r < BLOCK_ROWS; r += 64u) {
        var total = 0.0;
        for (var s = 0u; s < SPLIT; s += 1u) {
            total += partial_sums[r * SPLIT + s];
        }
        let row = group.x * BLOCK_ROWS + r;
        if row < im.n_out {
            y.d[group.y * im.n_out + row] = total;
        }
    }
}
