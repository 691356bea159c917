// Attention of one query head of one row over one part of the cache rows 0..=pos: unnormalised values, maximum, sum.

struct Immediates { n_heads: u32, n_kv_heads: u32, head_dim: u32, pos: u32, scale_f32: f32, part_rows: u32 }
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.y * im.part_rows;
    let rows = vec2<u32>(first, min(first + im.part_rows, im.pos + 1u));
    let result = attend(group.x, group.x * im.head_dim, rows, lane);
    let base = (group.x * groups.y + group.y) * (im.head_dim + 2u);
    for (var slot = 0u; slot < 4u; slot += 1u) {
        let d = lane + slot * TILE;
        if d < im.head_dim {
            out.d[base + d] = result.acc[slot];
        }
    }
    if lane == 0u {
        out.d[base + im.head_dim] = result.maximum;
        out.d[base + im.head_dim + 1u] = result.total;
    }
}
