//! Limits for each peer: how many connections it may have, and how often something may happen.
//!
//! Read `rate_limiter.rs` first, which anybody may use; `peers.rs` is what a server keeps, with the
//! counts of open connections. `groups.rs` says which addresses count as one peer. They know no loop,
//! no socket and no clock. Not here: where a server asks, which is in `server/accept.rs` and
//! `server/gate.rs`.
#![forbid(unsafe_code)]

pub(crate) mod groups;
pub(crate) mod peers;
pub(crate) mod rate_limiter;
