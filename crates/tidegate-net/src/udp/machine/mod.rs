//! The queue of datagrams to be sent, and how it is emptied. No loop, no socket, no clock: the
//! system is a trait, so that tests can refuse what a real one seldom refuses.
//!
//! Read `queue.rs` first.
#![forbid(unsafe_code)]

pub(crate) mod flush;
#[cfg(test)]
mod flush_tests;
pub(crate) mod queue;
