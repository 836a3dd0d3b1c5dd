//! Connections that are used again: which use gets which connection, and what happens to those that
//! nobody uses.
//!
//! Read `machine.rs` first: it decides, without I/O, and says what is to be done (`acts.rs`);
//! agents of HTTP use it, too. `lease.rs` has what users get, `options.rs` the limits, `state.rs`
//! what a loop keeps of its pools. `serve.rs` does what the machine wants, `unused.rs` is what
//! stands above a connection that nobody uses, `face.rs` what users call, `event.rs` what observers
//! see.
#![forbid(unsafe_code)]

pub(crate) mod acts;
pub(crate) mod event;
pub(crate) mod face;
pub(crate) mod lease;
pub(crate) mod machine;
pub(crate) mod options;
pub(crate) mod serve;
mod state;
mod unused;
