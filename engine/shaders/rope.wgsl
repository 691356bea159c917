// Rotates pairs (i * step, i * step + distance) of each head by the angle of pair i; dims from n_rot on pass through.
// One invocation per pair.

struct Floats { d: array<f32> }
struct Immediates { head_dim: u32, n_rot: u32, n_heads: u32, step: u32, distance: u32 }

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
    let head = (token * im.n_heads + id.x / pairs_per_head) * im.head_dim;
    if pair * 2u < im.n_rot {
        let first = head + pair * im.step;
        let second = first + im.distance;
        let a = x.d[first];
        let b = x.d[second];
        let c = cos_sin.d[token * im.n_rot + pair * 2u];
        let s = cos_sin.d[token * im.n_rot + pair * 2u + 1u];
        out.d[first] = a * c - b * s;
        out.d[second] = a * s + b * c;
    } else {
        let at = head + pair * 2u;
        out.d[at] = x.d[at];
        out.d[at + 1u] = x.d[at + 1u];
    }
}
