//! Every decision of the loop, as pure functions over plain data.

pub mod decision;
pub mod diff;
pub mod event;
pub mod model;
pub mod policy;
