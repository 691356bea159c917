//! Reads git objects: trees, blobs, diffs and refs.
