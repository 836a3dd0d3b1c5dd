//! What is done to a connection.
//!
//! Read `pass.rs` first: one pass in order, by what the loop calls. Its steps are `read.rs`
//! and `write.rs`; `call.rs` is the way to the handler, `close.rs` and `expire.rs` the ends.
//! `filters/` is what filters add to all of them; `ends.rs` is for pipes, `account.rs` for memory,
//! `timers.rs` for timers that are no end, `direct/` for callers that read, write and give back
//! bytes themselves. Not here: how connections are made.
#![forbid(unsafe_code)]

pub(crate) mod account;
pub(crate) mod call;
pub(crate) mod close;
pub(crate) mod direct;
pub(crate) mod ends;
pub(crate) mod expire;
pub(crate) mod filters;
pub(crate) mod pass;
pub(crate) mod read;
pub(crate) mod timers;
pub(crate) mod write;
