//! Who owns what. Methods in here change only the state that they stand on.
//!
//! Read `layer.rs` first, then `sockets.rs`, `socket.rs` and `listener.rs`. Parts of these are
//! `connecting.rs`, `wire.rs`, `owed.rs`, `remote.rs`, `rare.rs` and `pace.rs`; the loop's are
//! `claims.rs`, `crowd.rs` and `line.rs`; `deadlines/` has parts of both.
//! Not here: what is done to connections and servers.
#![forbid(unsafe_code)]

pub(crate) mod claims;
pub(crate) mod connecting;
pub(crate) mod crowd;
pub(crate) mod deadlines;
pub(crate) mod layer;
pub(crate) mod line;
pub(crate) mod listener;
pub(crate) mod owed;
pub(crate) mod pace;
pub(crate) mod rare;
pub(crate) mod remote;
pub(crate) mod socket;
pub(crate) mod sockets;
pub(crate) mod wire;
