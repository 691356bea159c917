// y[t, o] = sum_i w[o, i] * x[t, i]; one invocation per output

struct Floats { d: array<f32> }
struct Immediates { n_in: u32, n_out: u32, n_tokens: u32 }

@group(0) @binding(0) var<storage, read> w: Floats;
@group(0) @binding(1) var<storage, read> x: Floats;
@group(0) @binding(2) var<storage, read_write> y: Floats;
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let output = id.x;
    let token = id.y;
    if output >= im.n_out || token >= im.n_tokens {
        return;
    }
    let w_row = output * im.n_in;
    let x_row = token * im.n_in;
    // Four sums hide the latency of the additions and round less than one long one.
    var sums = vec4<f32>();
    var i = 0u;
    for (; i + 4u <= im.n_in; i += 4u) {
        let a = vec4<f32>(w.d[w_row + i], w.d[w_row + i + 1u], w.d[w_row + i + 2u], w.d[w_row + i + 3u]);
        let b = vec4<f32>(x.d[x_row + i], x.d[x_row + i + 1u], x.d[x_row + i + 2u], x.d[x_row + i + 3u]);
        sums += a * b;
    }
    for (; i < im.n_in; i += 1u) {
        sums.x += w.d[w_row + i] * x.d[x_row + i];
    }
    y.d[token * im.n_out + output] = (sums.x + sums.y) + (sums.z + sums.w);
}
