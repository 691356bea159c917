// out[g, c] = x[g, c] / sqrt(mean_c(x[g, c]^2) + eps) * weight[c] for groups of n_cols elements; one workgroup per group

struct Floats { d: array<f32> }
struct Immediates { n_cols: u32, eps_f32: f32 }

@group(0) @binding(0) var<storage, read> x: Floats;
@group(0) @binding(1) var<storage, read> weight: Floats;
@group(0) @binding(2) var<storage, read_write> out: Floats;
var<immediate> im: Immediates;

var<workgroup> partial_sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let base = (group.y * groups.x + group.x) * im.n_cols;
    var sum = 0.0;
    for (var c = lane; c < im.n_cols; c += 64u) {
        let value = x.d[base + c];
        sum += value * value;
    }
    partial_sums[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            partial_sums[lane] += partial_sums[lane + half];
        }
        workgroupBarrier();
    }
    let inverse = 1.0 / sqrt(partial_sums[0] / f32(im.n_cols) + im.eps_f32);
    for (var c = lane; c < im.n_cols; c += 64u) {
        out.d[base + c] = x.d[base + c] * inverse * weight.d[c];
    }
}
