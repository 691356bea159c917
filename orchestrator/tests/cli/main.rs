//! The command line as a person meets it: real repositories, real processes.

mod init;
mod interrupt;
mod support;
mod surface;
