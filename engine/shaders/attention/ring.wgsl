// After each tile the largest score so far and the sum of weights go to a ring: two words per tile, query row and head.

@group(0) @binding(4) var<storage, read_write> ring: Floats;

var<private> ring_base: u32;

fn note_tile(tile: u32, maximum: f32, total: f32, lane: u32) {
    if lane == 0u {
        ring.d[ring_base + tile * 2u] = maximum;
        ring.d[ring_base + tile * 2u + 1u] = total;
    }
}
