// sum[t, c] = a[t, c] + b[t, c]; out[t, c] = sum[t, c] / sqrt(mean_c(sum[t, c]^2) + eps) * weight[c]; one workgroup per row

struct Floats { d: array<f32> }
struct Immediates { n_cols: u32, eps_f32: f32 }

@group(0) @binding(0) var<storage, read> a: Floats;
@group(0) @binding(1) var<storage, read> b: Floats;
@group(0) @binding(2) var<storage, read> weight: Floats;
@group(0) @binding(3) var<storage, read_write> out: Floats;
@group(0) @binding(4) var<storage, read_write> sum: Floats;
var<immediate> im: Immediates;

var<workgroup> partial_sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.y * im.n_cols;
    var squares = 0.0;
    for (var c = lane; c < im.n_cols; c += 64u) {
        let value = a.d[base + c] + b.d[base + c];
        sum.d[base + c] = value;
        squares += value * value;
    }
    partial_sums[lane] = squares;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            partial_sums[lane] += partial_sums[lane + half];
        }
        workgroupBarrier();
    }
    let inverse = 1.0 / sqrt(partial_sums[0] / f32(im.n_cols) + im.eps_f32);
    for (var c = lane; c < im.n_cols; c += 64u) {
        out.d[base + c] = (a.d[base + c] + b.d[base + c]) * inverse * weight.d[c];
    }
}
