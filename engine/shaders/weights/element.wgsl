// One element of weights that are read by octets.

fn weight(e: u32) -> f32 {
    let octet = weight_octet(e & 0xfffffff8u);
    let four = select(octet.a, octet.b, (e & 4u) != 0u);
    return four[e & 3u];
}
