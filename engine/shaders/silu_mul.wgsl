// out[r, c] = gate / (1 + exp(-gate)) * up

struct Floats { d: array<f32> }
struct Immediates { n_cols: u32 }

@group(0) @binding(0) var<storage, read> gate: Floats;
@group(0) @binding(1) var<storage, read> up: Floats;
@group(0) @binding(2) var<storage, read_write> out: Floats;
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= im.n_cols {
        return;
    }
    let at = id.y * im.n_cols + id.x;
    let g = gate.d[at];
    out.d[at] = g / (1.0 + exp(-g)) * up.d[at];
}
