// y[t, o] = sum_i scale of the block of (o, i) * quants[o, i] * x[t, i]; n_in is a multiple of 32

struct Words { d: array<u32> }
struct Floats { d: array<f32> }
struct Immediates { n_in: u32, n_out: u32, n_tokens: u32 }

@group(0) @binding(0) var<storage, read> quants: Words;
@group(0) @binding(1) var<storage, read> scales: Words;
@group(0) @binding(2) var<storage, read> x: Floats;
@group(0) @binding(3) var<storage, read_write> y: Floats;
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let output = id.x;
    let token = id.y;
    if output >= im.n_out || token >= im.n_tokens {
        return;
    }
    let blocks = im.n_in / 32u;
    let x_row = token * im.n_in;
    var sum = 0.0;
    for (var b = 0u; b < blocks; b += 1u) {
        let block = output * blocks + b;
        let scale = unpack2x16float(scales.d[block / 2u])[block % 2u];
        let at = x_row + b * 32u;
        var sums = vec4<f32>();
        for (var i = 0u; i < 8u; i += 1u) {
            let word = bitcast<i32>(quants.d[block * 8u + i]);
            let q = vec4<f32>(vec4<i32>(
                extractBits(word, 0u, 8u),
                extractBits(word, 8u, 8u),
                extractBits(word, 16u, 8u),
                extractBits(word, 24u, 8u),
            ));
            let j = at + i * 4u;
            sums += q * vec4<f32>(x.d[j], x.d[j + 1u], x.d[j + 2u], x.d[j + 3u]);
        }
        sum += scale * ((sums.x + sums.y) + (sums.z + sums.w));
    }
    y.d[token * im.n_out + output] = sum;
}
