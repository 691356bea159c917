// out[h, d] = sum_p exp(maximum of p - largest) * parts[h, p, d] / sum_p exp(maximum of p - largest) * sum of p

struct Floats { d: array<f32> }
struct Immediates { head_dim: u32, n_parts: u32 }

@group(0) @binding(0) var<storage, read> parts: Floats;
@group(0) @binding(1) var<storage, read_write> out: Floats;
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let stride = im.head_dim + 2u;
    let base = group.x * im.n_parts * stride;
    var largest = -3.4e38;
    for (var p = 0u; p < im.n_parts; p += 1u) {
        largest = max(largest, parts.d[base + p * stride + im.head_dim]);
    }
    for (var d = lane; d < im.head_dim; d += 64u) {
        var value = 0.0;
        var total = 0.0;
        for (var p = 0u; p < im.n_parts; p += 1u) {
            let at = base + p * stride;
            let weight = exp(parts.d[at + im.head_dim] - largest);
            value += weight * parts.d[at + d];
            total += weight * parts.d[at + im.head_dim + 1u];
        }
        out.d[group.x * im.head_dim + d] = value / total;
    }
}
