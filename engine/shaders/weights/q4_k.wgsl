// Q4_K: one word of four-bit integers per octet; per 256 elements five words of factors: two f16 (for scales, for minimums),
// then a byte of scale and a byte of minimum for each 32 elements.

@group(0) @binding(WEIGHTS) var<storage, read> quants: Words;
@group(0) @binding(WEIGHTS + 1) var<storage, read> scales: Words;

fn unit_columns(n_in: u32) -> u32 {
    return n_in;
}

fn quant_octet(e: u32) -> Octet {
    return half_bytes(quants.d[e / 8u]);
}

// Scale and minimum of the 32 elements that e lies in.
fn factors_of(e: u32) -> vec2<f32> {
    let block = e / 256u * 5u;
    let unit = (e / 32u) & 7u;
    let bytes = scales.d[block + 1u + unit / 2u] >> ((unit & 1u) * 16u);
    return unpack2x16float(scales.d[block]) * vec2<f32>(vec2<u32>(bytes & 255u, (bytes >> 8u) & 255u));
}

fn weight_octet(e: u32) -> Octet {
    let quants = quant_octet(e);
    let factors = factors_of(e);
    return Octet(quants.a * factors.x - factors.y, quants.b * factors.x - factors.y);
}

// `sum` is the sum of x, which the minimum of the unit is taken off for.
fn unit_dot(e: u32, x: array<Octet, 4>, sum: f32) -> f32 {
    let first = octet_dot(quant_octet(e), x[0]) + octet_dot(quant_octet(e + 8u), x[1]);
    let second = octet_dot(quant_octet(e + 16u), x[2]) + octet_dot(quant_octet(e + 24u), x[3]);
    let factors = factors_of(e);
    return (first + second) * factors.x - sum * factors.y;
}
