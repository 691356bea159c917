//! Records command streams.
