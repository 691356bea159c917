// cache[pos + t, c] = rows[t, c]

struct Floats { d: array<f32> }
struct Immediates { n_cols: u32, pos: u32 }

@group(0) @binding(0) var<storage, read> rows: Floats;
@group(0) @binding(1) var<storage, read_write> cache: Floats;
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= im.n_cols {
        return;
    }
    cache.d[(im.pos + id.y) * im.n_cols + id.x] = rows.d[id.y * im.n_cols + id.x];
}
