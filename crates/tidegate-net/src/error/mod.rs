//! What can go wrong, and how a connection ended. Plain data, on the ground floor.
//!
//! Read `net_error.rs` first, then `close.rs`. `stage.rs`, `fault.rs` and `filter_fault.rs` are the
//! words that the errors are made of; `listen.rs` has the errors of servers that could not open.
//! Not here: who decides that something failed.
#![forbid(unsafe_code)]

pub(crate) mod close;
pub(crate) mod fault;
pub(crate) mod filter_fault;
pub(crate) mod listen;
pub(crate) mod net_error;
pub(crate) mod stage;
