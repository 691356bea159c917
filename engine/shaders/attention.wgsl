// Causal attention of one query head at one token over cache rows 0..=pos+t.

struct Immediates { n_heads: u32, n_kv_heads: u32, head_dim: u32, pos: u32, scale_f32: f32 }
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let q_base = (group.y * im.n_heads + group.x) * im.head_dim;
    let result = attend(group.x, q_base, vec2<u32>(0u, im.pos + group.y + 1u), lane);
    for (var slot = 0u; slot < 4u; slot += 1u) {
        let d = lane + slot * TILE;
        if d < im.head_dim {
            out.d[q_base + d] = result.acc[slot] / result.total;
        }
    }
}
