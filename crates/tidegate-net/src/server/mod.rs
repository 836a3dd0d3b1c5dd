//! What servers do: open, accept, offer, hold, close.
//!
//! Read `accept.rs` first: the accept loop. `bind.rs` opens the socket, `gate.rs` lets filters get
//! ready first, `offer.rs` is the connection that a callback decides about, `call.rs` the way to
//! callbacks, `overload.rs` and `held.rs` what happens without room. `control.rs` is what users ask
//! of an open server.
#![forbid(unsafe_code)]

pub(crate) mod accept;
pub(crate) mod bind;
pub(crate) mod call;
pub(crate) mod control;
pub(crate) mod gate;
pub(crate) mod held;
pub(crate) mod offer;
pub(crate) mod overload;
