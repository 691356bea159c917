// Rotates pairs (2i, 2i+1) of each head by the angle of pair i; dims from n_rot on pass through. One invocation per pair.

struct Floats { d: array<f32> }
struct Immediates { head_dim: u32, n_rot: u32, n_heads: u32 }

@group(0) @binding(0) var<storage, read> x: Floats;
@group(0) @binding(1) var<storage, read> cos_sin: Floats;
@group(0) @binding(2) var<storage, read_write> out: Floats;
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pairs_per_head = im.head_dim / 2u;
    let token = id.y;
    if id.x >= im.n_heads * pairs_per_head {
        return;
    }
    let pair = id.x % pairs_per_head;
    let at = token * im.n_heads * im.head_dim + id.x * 2u;
    let a = x.d[at];
    let b = x.d[at + 1u];
    if pair * 2u < im.n_rot {
        let c = cos_sin.d[token * im.n_rot + pair * 2u];
        let s = cos_sin.d[token * im.n_rot + pair * 2u + 1u];
        out.d[at] = a * c - b * s;
        out.d[at + 1u] = a * s + b * c;
    } else {
        out.d[at] = a;
        out.d[at + 1u] = b;
    }
}
