//! Marker catalogue, the scanner over log bytes and the predicate grammar. Pure.
