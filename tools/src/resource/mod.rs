//! Resources: what commands answer, under addresses that a client can list, attach and watch.

mod address;
mod list;
mod read;
mod watch;

pub(crate) use address::Address;
pub(crate) use list::{list, templates};
pub(crate) use read::read;
pub(crate) use watch::Watch;
