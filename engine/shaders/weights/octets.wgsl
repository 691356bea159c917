// Eight consecutive columns of a row, and the types of buffers.

struct Floats { d: array<f32> }
struct Vectors { d: array<vec4<f32>> }
struct Words { d: array<u32> }
struct WordPairs { d: array<vec2<u32>> }

struct Octet { a: vec4<f32>, b: vec4<f32> }

fn octet_dot(w: Octet, x: Octet) -> f32 {
    return dot(w.a, x.a) + dot(w.b, x.b);
}

fn octet_sum(x: Octet) -> f32 {
    let both = x.a + x.b;
    return (both.x + both.y) + (both.z + both.w);
}

fn signed_bytes(word: u32) -> vec4<f32> {
    let shifted = bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word));
    return vec4<f32>(shifted >> vec4<u32>(24u));
}

fn half_bytes(word: u32) -> Octet {
    let low = vec4<u32>(word, word >> 8u, word >> 16u, word >> 24u) & vec4<u32>(15u);
    let high = vec4<u32>(word >> 4u, word >> 12u, word >> 20u, word >> 28u) & vec4<u32>(15u);
    return Octet(vec4<f32>(low), vec4<f32>(high));
}
