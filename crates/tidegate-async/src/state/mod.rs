//! Who owns what: `layer` is what a loop keeps of its futures, the other files are its parts.
//!
//! `janitor` does what values could not do when they were dropped elsewhere. What is done to a task
//! is in `tasks/`, to a connection in `net/`.
#![forbid(unsafe_code)]

pub(crate) mod answer;
pub(crate) mod janitor;
pub(crate) mod job;
pub(crate) mod layer;
pub(crate) mod net;
pub(crate) mod task;
