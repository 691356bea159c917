// Rows of activations whose length is a multiple of eight.

@group(0) @binding(0) var<storage, read> x: Vectors;

fn x_element(e: u32) -> f32 {
    return x.d[e / 4u][e & 3u];
}

fn x_octet(e: u32) -> Octet {
    return Octet(x.d[e / 4u], x.d[e / 4u + 1u]);
}
