// Causal attention of one query head at one token over cache rows 0..=pos+t, by online softmax over tiles of 64 rows
// (Milakov and Gimelshein, arXiv 1805.02867): a lane scores one row of the tile, then owns up to four output dims.

struct Floats { d: array<f32> }
struct Immediates { n_heads: u32, n_kv_heads: u32, head_dim: u32, pos: u32, scale_f32: f32 }

@group(0) @binding(0) var<storage, read> q: Floats;
@group(0) @binding(1) var<storage, read> k_cache: Floats;
@group(0) @binding(2) var<storage, read> v_cache: Floats;
@group(0) @binding(3) var<storage, read_write> out: Floats;
var<immediate> im: Immediates;

const TILE = 64u;

var<workgroup> query: array<f32, 256>;
var<workgroup> weights: array<f32, 64>;
var<workgroup> reduced: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let token = group.y;
    let kv_head = head / (im.n_heads / im.n_kv_heads);
    let row_len = im.n_kv_heads * im.head_dim;
    let kv_base = kv_head * im.head_dim;
    let q_base = (token * im.n_heads + head) * im.head_dim;
    let visible = im.pos + token + 1u;

    for (var d = lane; d < im.head_dim; d += TILE) {
        query[d] = q.d[q_base + d];
    }
    workgroupBarrier();

    var maximum = -3.4e38;
    var total = 0.0;
    var acc = vec4<f32>();
    for (var first = 0u; first < visible; first += TILE) {
        let row = first + lane;
        var score = -3.4e38;
        if row < visible {
            let k_base = row * row_len + kv_base;
            var dot_product = 0.0;
            for (var d = 0u; d < im.head_dim; d += 1u) {
                dot_product += query[d] * k_cache.d[k_base + d];
            }
            score = dot_product * im.scale_f32;
        }
        reduced[lane] = score;
        workgroupBarrier();
        for (var half = 32u; half > 0u; half /= 2u) {
            if lane < half {
                reduced[lane] = max(reduced[lane], reduced[lane + half]);
            }
            workgroupBarrier();
        }
        let new_maximum = max(maximum, reduced[0]);
        var weight = 0.0;
        if row < visible {
            weight = exp(score - new_maximum);
        }
        weights[lane] = weight;
        workgroupBarrier();
        let correction = exp(maximum - new_maximum);
        let rows = min(TILE, visible - first);
        total *= correction;
        acc *= correction;
        for (var j = 0u; j < rows; j += 1u) {
            let w = weights[j];
            total += w;
            let v_base = (first + j) * row_len + kv_base;
            for (var slot = 0u; slot < 4u; slot += 1u) {
                let d = lane + slot * TILE;
                if d < im.head_dim {
                    acc[slot] += w * v_cache.d[v_base + d];
                }
            }
        }
        maximum = new_maximum;
        // The next tile overwrites `reduced` and `weights`.
        workgroupBarrier();
    }
    for (var slot = 0u; slot < 4u; slot += 1u) {
        let d = lane + slot * TILE;
        if d < im.head_dim {
            out.d[q_base + d] = acc[slot] / total;
        }
    }
}
