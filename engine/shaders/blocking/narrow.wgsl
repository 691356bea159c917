// A subgroup per row and few rows per lane: for devices that need many groups in flight and read neighbouring words together.

const SPLIT = 32u;
const ROWS = 4u;
