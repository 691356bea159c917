//! The law of the engine and its loader and linter.
