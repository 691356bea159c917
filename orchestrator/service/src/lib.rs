//! The command layer: one request and one response type per command, one writer.
