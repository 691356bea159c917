//! Journal, evidence store and the rebuildable index.
