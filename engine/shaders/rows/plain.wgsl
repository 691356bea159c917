// Rows of activations of any length.

@group(0) @binding(0) var<storage, read> x: Floats;

fn x_element(e: u32) -> f32 {
    return x.d[e];
}

fn x_octet(e: u32) -> Octet {
    return Octet(
        vec4<f32>(x.d[e], x.d[e + 1u], x.d[e + 2u], x.d[e + 3u]),
        vec4<f32>(x.d[e + 4u], x.d[e + 5u], x.d[e + 6u], x.d[e + 7u]),
    );
}
