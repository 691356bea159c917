//! Promises of the product, one module each, on real parts.
