//! What an interrupt leaves behind.
