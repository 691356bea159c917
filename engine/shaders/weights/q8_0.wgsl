// Q8_0: signed bytes, four to a word, and one f16 scale per 32 elements, two to a word.

@group(0) @binding(WEIGHTS) var<storage, read> quants: WordPairs;
@group(0) @binding(WEIGHTS + 1) var<storage, read> scales: Words;

fn unit_columns(n_in: u32) -> u32 {
    return n_in;
}

fn quant_octet(e: u32) -> Octet {
    let words = quants.d[e / 8u];
    return Octet(signed_bytes(words.x), signed_bytes(words.y));
}

fn scale_of(e: u32) -> f32 {
    let pair = unpack2x16float(scales.d[e / 64u]);
    return select(pair.x, pair.y, (e & 32u) != 0u);
}

fn weight_octet(e: u32) -> Octet {
    let quants = quant_octet(e);
    let scale = scale_of(e);
    return Octet(quants.a * scale, quants.b * scale);
}

fn unit_dot(e: u32, x: array<Octet, 4>, sum: f32) -> f32 {
    let first = octet_dot(quant_octet(e), x[0]) + octet_dot(quant_octet(e + 8u), x[1]);
    let second = octet_dot(quant_octet(e + 16u), x[2]) + octet_dot(quant_octet(e + 24u), x[3]);
    return (first + second) * scale_of(e);
}
