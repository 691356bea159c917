// y[t, o] = sum_i w[o, i] * x[t, i] for many rows of activations: a lane keeps a tile of four rows of w by four of x, and
// eight lanes share the columns of a tile.

const WEIGHTS = 2;
struct Immediates { n_in: u32, n_out: u32, n_tokens: u32 }

@group(0) @binding(1) var<storage, read_write> y: Floats;
var<immediate> im: Immediates;

const SPLIT = 8u;
const TILE = 4u;
const BLOCK_ROWS = 64u / SPLIT * TILE;
// A tile is 16 sums; the sums of one tile and lane lie behind one another.
var<workgroup> partial_sums: array<vec4<f32>, 256>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let slice = lane % SPLIT;
    let first_row = group.x * BLOCK_ROWS + lane / SPLIT * TILE;
    let first_token = group.y * TILE;
    // Rows behind the last repeat it, and are dropped below.
    let rows = min(vec4<u32>(first_row) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(im.n_out - 1u)) * im.n_in;
    let tokens = min(vec4<u32>(first_token) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(im.n_tokens - 1u)) * im.n_in;
    let columns = unit_columns(im.n_in);
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var column = slice * 8u; column < columns; column += SPLIT * 8u) {
        let w0 = weight_octet(rows.x + column);
        let w1 = weight_octet(rows.y + column);
        let w2 = weight_octet(rows.z + column);
        let w3 = weight_octet(rows.w + column);
        s0 += products(w0, w1, w2, w3, x_octet(tokens.x + column));
        s1 += products(w0, w1, w2, w3, x_octet(tokens.y + column));
        s2 += products(w0, w1, w2, w3, x_octet(tokens.z + column));
        s3 += products(w0, w1, w2, w3, x_octet(tokens.w + column));
    }
    for (var column = columns + slice; column < im.n_in; column += SPLIT) {
        let w = vec4<f32>(weight(rows.x + column), weight(rows.y + column), weight(rows.z + column), weight(rows.w + column));
        s0 += w * x_element(tokens.x + column);
        s1 += w * x_element(tokens.y + column);
        s2 += w * x_element(tokens.z + column);
        s3 += w * x_element(tokens.w + column);
    }
    partial_sums[lane * 4u] = s0;
    partial_sums[lane * 4u + 1u] = s1;
    partial_sums[lane * 4u + 2u] = s2;
    partial_sums[lane * 4u + 3u] = s3;
    workgroupBarrier();
    // 32 vectors of four rows: eight tiles by four tokens, each summed over its lanes.
    if lane < 32u {
        let tile = lane / 4u;
        let t = lane % 4u;
        var total = vec4<f32>();
        for (var s = 0u; s < SPLIT; s += 1u) {
            total += partial_sums[(tile * SPLIT + s) * 4u + t];
        }
        let token = first_token + t;
        let row = group.x * BLOCK_ROWS + tile * TILE;
        if token < im.n_tokens {
            for (var r = 0u; r < TILE; r += 1u) {
                if row + r < im.n_out {
                    y.d[token * im.n_out + row + r] = total[r];
                }
            }
        }
    }
}

fn products(w0: Octet, w1: Octet, w2: Octet, w3: Octet, x: Octet) -> vec4<f32> {
    return vec4<f32>(octet_dot(w0, x), octet_dot(w1, x), octet_dot(w2, x), octet_dot(w3, x));
}
