// dummy[0] = value; the cheapest dispatch that still writes, for measuring what a dispatch costs

struct Words { d: array<u32> }
struct Immediates { value: u32 }

@group(0) @binding(0) var<storage, read_write> dummy: Words;
var<immediate> im: Immediates;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    if lane == 0u {
        dummy.d[0] = im.value;
    }
}
