// Q6_K: per 32 elements six words: the low four bits of four octets, then their high pairs, 16 bits per octet; 32 means zero.
// Per 256 elements five words of factors: sixteen signed bytes, one for each 16 elements, then an f16.

@group(0) @binding(WEIGHTS) var<storage, read> quants: Words;
@group(0) @binding(WEIGHTS + 1) var<storage, read> scales: Words;

fn unit_columns(n_in: u32) -> u32 {
    return n_in;
}

// `pairs` holds the high pairs of the octet in its low 16 bits.
fn joined(low: u32, pairs: u32) -> Octet {
    let octet = half_bytes(low);
    let a = vec4<u32>(pairs << 4u, pairs << 2u, pairs, pairs >> 2u) & vec4<u32>(48u);
    let b = vec4<u32>(pairs >> 4u, pairs >> 6u, pairs >> 8u, pairs >> 10u) & vec4<u32>(48u);
    return Octet(octet.a + (vec4<f32>(a) - 32.0), octet.b + (vec4<f32>(b) - 32.0));
}

// Scale of the 16 elements that e lies in.
fn scale_of(e: u32) -> f32 {
    let block = e / 256u * 5u;
    let sub = (e / 16u) & 15u;
    let byte = bitcast<i32>(scales.d[block + sub / 4u] << (24u - (sub & 3u) * 8u)) >> 24u;
    return unpack2x16float(scales.d[block + 4u]).x * f32(byte);
}

fn weight_octet(e: u32) -> Octet {
    let unit = e / 32u * 6u;
    let octet = (e / 8u) & 3u;
    let pairs = quants.d[unit + 4u + octet / 2u] >> ((octet & 1u) * 16u);
    let quants = joined(quants.d[unit + octet], pairs);
    let scale = scale_of(e);
    return Octet(quants.a * scale, quants.b * scale);
}

fn unit_dot(e: u32, x: array<Octet, 4>, sum: f32) -> f32 {
    let unit = e / 32u * 6u;
    let early = quants.d[unit + 4u];
    let late = quants.d[unit + 5u];
    let first = octet_dot(joined(quants.d[unit], early), x[0])
        + octet_dot(joined(quants.d[unit + 1u], early >> 16u), x[1]);
    let second = octet_dot(joined(quants.d[unit + 2u], late), x[2])
        + octet_dot(joined(quants.d[unit + 3u], late >> 16u), x[3]);
    return first * scale_of(e) + second * scale_of(e + 16u);
}
