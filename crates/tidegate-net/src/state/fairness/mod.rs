//! Who comes first when there is not enough for all: descriptors ([`claims`]), memory of queues
//! ([`crowd`]), accepts in a turn ([`pace`]), steps of handshakes ([`line`]). Pure: no loop, socket
//! or clock.
//!
//! Not here: what is done with the answer (`server/`, `socket/account.rs`).
#![forbid(unsafe_code)]

pub(crate) mod claims;
pub(crate) mod crowd;
pub(crate) mod line;
pub(crate) mod pace;
