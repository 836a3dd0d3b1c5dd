//! Who owns what. Methods in here change only the state that they stand on.
//!
//! Read `layer.rs` first, then `sockets.rs`, `socket.rs` and `listener.rs`. Parts of these are
//! `connecting.rs`, `wire.rs`, `owed.rs`, `remote.rs`, `peer.rs` and `rare.rs`. `fairness/` and
//! `deadlines/` hold the pure parts.
//! Not here: what is done to connections and servers.
#![forbid(unsafe_code)]

pub(crate) mod connecting;
pub(crate) mod deadlines;
pub(crate) mod fairness;
pub(crate) mod layer;
pub(crate) mod listener;
pub(crate) mod owed;
mod peer;
pub(crate) mod rare;
pub(crate) mod remote;
pub(crate) mod socket;
pub(crate) mod sockets;
pub(crate) mod wire;
