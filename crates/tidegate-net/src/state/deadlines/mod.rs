//! When a connection is to be looked at, without the connection: pure, times go in.
//!
//! `clocks.rs` has the deadlines of the options (idle, lifetime, linger, ...), `timers.rs` those
//! that programs and protocols set by a token. `queue.rs` holds one entry for each connection,
//! whatever it waits for. What happens when an entry comes up is in `socket/expire.rs`.
#![forbid(unsafe_code)]

pub(crate) mod clocks;
pub(crate) mod queue;
pub(crate) mod timers;
