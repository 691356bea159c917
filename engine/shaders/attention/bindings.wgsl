struct Floats { d: array<f32> }

@group(0) @binding(0) var<storage, read> q: Floats;
@group(0) @binding(1) var<storage, read> k_cache: Floats;
@group(0) @binding(2) var<storage, read> v_cache: Floats;
@group(0) @binding(3) var<storage, read_write> out: Floats;
