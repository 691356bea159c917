// Few lanes per row and many rows per lane: for devices that pay for every load and have few cores.

const SPLIT = 8u;
const ROWS = 8u;
