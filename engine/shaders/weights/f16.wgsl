// f16 weights, two to a word: element e is half e % 2 of word e / 2.

@group(0) @binding(WEIGHTS) var<storage, read> w: Words;

// Columns of a row that are read as whole units of 32; the rest is read one by one. Rows of an odd length begin inside words.
fn unit_columns(n_in: u32) -> u32 {
    return select(n_in & 0xffffffe0u, 0u, (n_in & 1u) == 1u);
}

fn weight(e: u32) -> f32 {
    let pair = unpack2x16float(w.d[e / 2u]);
    return select(pair.x, pair.y, (e & 1u) == 1u);
}

fn weight_octet(e: u32) -> Octet {
    let at = e / 2u;
    return Octet(
        vec4<f32>(unpack2x16float(w.d[at]), unpack2x16float(w.d[at + 1u])),
        vec4<f32>(unpack2x16float(w.d[at + 2u]), unpack2x16float(w.d[at + 3u])),
    );
}

fn unit_dot(e: u32, x: array<Octet, 4>, sum: f32) -> f32 {
    return (octet_dot(weight_octet(e), x[0]) + octet_dot(weight_octet(e + 8u), x[1]))
        + (octet_dot(weight_octet(e + 16u), x[2]) + octet_dot(weight_octet(e + 24u), x[3]));
}
