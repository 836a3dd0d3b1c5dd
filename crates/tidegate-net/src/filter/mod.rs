//! The filters of one connection, without the connection: bytes and calls go in, bytes for the
//! kernel, bytes for the handler and what is to be told come out.
//!
//! Read `stack.rs` first: how bytes go from filter to filter. `link.rs` is one filter in it, with
//! what waits in front of it; `call.rs` the only place that calls a filter. What a connection
//! does with all this is in `socket/filters/`. `program.rs` tests it.
#![forbid(unsafe_code)]

pub(crate) mod call;
pub(crate) mod link;
#[cfg(any(test, fuzzing))]
pub(crate) mod program;
pub(crate) mod stack;
