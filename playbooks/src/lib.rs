//! Failure classes and proof scopes as data.
