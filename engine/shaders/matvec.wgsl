// y[t, o] = sum_i w[o, i] * x[t, i] for one row of activations per row of groups.

const WEIGHTS = 2;
struct Immediates { n_in: u32, n_out: u32, n_tokens: u32 }

@group(0) @binding(1) var<storage, read_write> y: Floats;
var<immediate> im: Immediates;

// Rows behind the last repeat it, and are dropped below.
fn weight_row(block: u32, lane_group: u32, r: u32) -> u32 {
    return min(block * BLOCK_ROWS + lane_group * ROWS + r, im.n_out - 1u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    block_sums(group.x, lane, group.y * im.n_in, im.n_in);
    for (var r = lane; r < BLOCK_ROWS; r += 64u) {
        let row = group.x * BLOCK_ROWS + r;
        if row < im.n_out {
            y.d[group.y * im.n_out + row] = block_total(r);
        }
    }
}
