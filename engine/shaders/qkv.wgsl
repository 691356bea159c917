// q, k and v of one row of activations: the rows of the three weights lie back to back as one matrix.

const WEIGHTS = 4;
struct Immediates { n_in: u32, n_q: u32, n_kv: u32 }

@group(0) @binding(1) var<storage, read_write> q: Floats;
@group(0) @binding(2) var<storage, read_write> k: Floats;
@group(0) @binding(3) var<storage, read_write> v: Floats;
var<immediate> im: Immediates;

// Rows behind the last repeat it, and are dropped below.
fn weight_row(block: u32, lane_group: u32, r: u32) -> u32 {
    return min(block * BLOCK_ROWS + lane_group * ROWS + r, im.n_q + 2u * im.n_kv - 1u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    block_sums(group.x, lane, 0u, im.n_in);
    for (var r = lane; r < BLOCK_ROWS; r += 64u) {
        let row = group.x * BLOCK_ROWS + r;
        let total = block_total(r);
        if row < im.n_q {
            q.d[row] = total;
        } else if row < im.n_q + im.n_kv {
            k.d[row - im.n_q] = total;
        } else if row < im.n_q + 2u * im.n_kv {
            v.d[row - im.n_q - im.n_kv] = total;
        }
    }
}
