//! What users write, and the definitions of what it is called with.
//!
//! Read `handler.rs` first, then `server_handler.rs`; `contexts.rs` has the arguments of both,
//! `filter.rs` the bytes' way between kernel and handler. `protocol.rs` is the handler of a layer,
//! `upper.rs` says which of the two a connection has. Not here: the methods of the contexts,
//! which are in `face/`, and who calls, which is in `socket/call.rs` and `server/call.rs`.
#![forbid(unsafe_code)]

pub(crate) mod contexts;
pub(crate) mod filter;
pub(crate) mod handler;
pub(crate) mod protocol;
pub(crate) mod server_handler;
pub(crate) mod udp_handler;
pub(crate) mod upper;
