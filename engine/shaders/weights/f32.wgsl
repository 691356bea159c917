// f32 weights: element e is word e.

@group(0) @binding(WEIGHTS) var<storage, read> w: Floats;

// Columns of a row that are read as whole units of 32; the rest is read one by one.
fn unit_columns(n_in: u32) -> u32 {
    return n_in & 0xffffffe0u;
}

fn weight(e: u32) -> f32 {
    return w.d[e];
}

fn weight_octet(e: u32) -> Octet {
    return Octet(
        vec4<f32>(w.d[e], w.d[e + 1u], w.d[e + 2u], w.d[e + 3u]),
        vec4<f32>(w.d[e + 4u], w.d[e + 5u], w.d[e + 6u], w.d[e + 7u]),
    );
}

fn unit_dot(e: u32, x: array<Octet, 4>, sum: f32) -> f32 {
    return (octet_dot(weight_octet(e), x[0]) + octet_dot(weight_octet(e + 8u), x[1]))
        + (octet_dot(weight_octet(e + 16u), x[2]) + octet_dot(weight_octet(e + 24u), x[3]));
}
