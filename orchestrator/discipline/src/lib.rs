//! Every decision of the loop, as pure functions over plain data.
