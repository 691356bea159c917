// Attention of one query head over a range of cache rows, by online softmax over tiles of 64 rows
// (Milakov and Gimelshein, arXiv 1805.02867): a lane scores one row of the tile, then owns up to four output dims.

const TILE = 64u;

var<workgroup> query: array<f32, 256>;
var<workgroup> weights: array<f32, 64>;
var<workgroup> reduced: array<f32, 64>;

// Values weighted by exp(score - maximum), and the sum of these weights.
struct Attended { acc: vec4<f32>, maximum: f32, total: f32 }

// `note_tile` hears what is known after each tile; the kernel defines it.
fn attend(head: u32, q_base: u32, rows: vec2<u32>, lane: u32) -> Attended {
    let row_len = im.n_kv_heads * im.head_dim;
    let kv_base = head / (im.n_heads / im.n_kv_heads) * im.head_dim;
    for (var d = lane; d < im.head_dim; d += TILE) {
        query[d] = q.d[q_base + d];
    }
    workgroupBarrier();
    var maximum = -3.4e38;
    var total = 0.0;
    var acc = vec4<f32>();
    for (var first = rows.x; first < rows.y; first += TILE) {
        let row = first + lane;
        var score = -3.4e38;
        if row < rows.y {
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
        if row < rows.y {
            weight = exp(score - new_maximum);
        }
        weights[lane] = weight;
        workgroupBarrier();
        let correction = exp(maximum - new_maximum);
        let count = min(TILE, rows.y - first);
        total *= correction;
        acc *= correction;
        for (var j = 0u; j < count; j += 1u) {
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
        note_tile((first - rows.x) / TILE, maximum, total, lane);
        // The next tile overwrites `reduced` and `weights`.
        workgroupBarrier();
    }
    return Attended(acc, maximum, total);
}
