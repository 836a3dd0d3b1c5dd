//! What users call.
//!
//! Read `net.rs` first: servers and clients on a loop. Then `socket_cx.rs` (do) and
//! `socket_facts.rs` (ask) of a connection, `socket_upper.rs` for what stands above it,
//! `socket_direct.rs` for reading and writing without the loop, `server_cx.rs` of a server,
//! `incoming.rs` of a connection that is offered, `on.rs` for closures in place of a handler,
//! `metrics.rs` for counters. Definitions are in `callbacks/`.
#![forbid(unsafe_code)]

pub(crate) mod incoming;
pub(crate) mod metrics;
pub(crate) mod net;
pub(crate) mod on;
pub(crate) mod server_cx;
pub(crate) mod socket_cx;
mod socket_direct;
pub(crate) mod socket_facts;
mod socket_upper;
