// out[o] = silu(gate row o of w . x) * (up row o of w . x) for one row of activations: the rows of the two weights lie back to
// back as one matrix, and half of a lane's rows are of the one, half of the other.

const WEIGHTS = 2;
const HALF = ROWS / 2u;
struct Immediates { n_in: u32, n_ff: u32 }

@group(0) @binding(1) var<storage, read_write> out: Floats;
var<immediate> im: Immediates;

// Rows behind the last repeat it, and are dropped below.
fn weight_row(block: u32, lane_group: u32, r: u32) -> u32 {
    let row = min((block * BLOCK_ROWS + lane_group * ROWS) / 2u + r % HALF, im.n_ff - 1u);
    return select(row, row + im.n_ff, r >= HALF);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    block_sums(group.x, lane, 0u, im.n_in);
    for (var r = lane; r < BLOCK_ROWS / 2u; r += 64u) {
        let row = group.x * BLOCK_ROWS / 2u + r;
        if row < im.n_ff {
            let at = r / HALF * ROWS + r % HALF;
            let gate = block_total(at);
            out.d[row] = gate / (1.0 + exp(-gate)) * block_total(at + HALF);
        }
    }
}
