// As attention, with the ring of its tiles; words of tiles that a row does not see become zero.

struct Immediates { n_heads: u32, n_kv_heads: u32, head_dim: u32, pos: u32, scale_f32: f32, n_tiles: u32 }
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let seen = im.pos + group.y + 1u;
    ring_base = (group.y * im.n_heads + group.x) * im.n_tiles * 2u;
    for (var word = (seen + TILE - 1u) / TILE * 2u + lane; word < im.n_tiles * 2u; word += TILE) {
        ring.d[ring_base + word] = 0.0;
    }
    let q_base = (group.y * im.n_heads + group.x) * im.head_dim;
    let result = attend(group.x, q_base, vec2<u32>(0u, seen), lane);
    for (var slot = 0u; slot < 4u; slot += 1u) {
        let d = lane + slot * TILE;
        if d < im.head_dim {
            out.d[q_base + d] = result.acc[slot] / result.total;
        }
    }
}
