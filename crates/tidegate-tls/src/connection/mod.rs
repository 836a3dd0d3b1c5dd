//! TLS on one connection. `tls` is the filter; read it first. `session` is the connection of
//! rustls, and the only file that knows how bytes go through one; `asking` waits until the client
//! has said what it wants, `offload` lets other threads do the handshake. `choice` and `shared` are
//! what a filter gets from its server or client.
//!
//! Not here: sockets, queues, back-pressure. The net crate has them, for all filters.
#![forbid(unsafe_code)]

pub(crate) mod asking;
pub(crate) mod choice;
pub(crate) mod offload;
pub(crate) mod session;
pub(crate) mod shared;
pub(crate) mod tls;
