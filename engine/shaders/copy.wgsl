// out[i] = x[i] for vectors of four words; a lane copies 16 that lie 64 apart, so that neighbours touch neighbouring bytes.

struct Vectors { d: array<vec4<u32>> }
struct Immediates { n_vectors: u32 }

@group(0) @binding(0) var<storage, read> x: Vectors;
@group(0) @binding(1) var<storage, read_write> out: Vectors;
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < 16u; step += 1u) {
        let at = group.x * 1024u + step * 64u + lane;
        if at < im.n_vectors {
            out.d[at] = x.d[at];
        }
    }
}
