//! Connections, servers and UDP sockets as futures. `protocol` is what the net crate calls, `socket`
//! and `transfer` are a connection, `begin` is how one becomes a future's and leaves again.
//!
//! Bytes are pulled: readiness wakes a task, and its read takes the bytes from the kernel into the
//! caller's memory. What waits is kept in `state/net.rs`.
#![forbid(unsafe_code)]

pub(crate) mod begin;
pub(crate) mod connect;
pub(crate) mod halves;
pub(crate) mod listener;
pub(crate) mod protocol;
pub(crate) mod socket;
pub(crate) mod transfer;
pub(crate) mod udp;
