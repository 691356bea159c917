// Nothing is kept of single tiles.

fn note_tile(tile: u32, maximum: f32, total: f32, lane: u32) {}
