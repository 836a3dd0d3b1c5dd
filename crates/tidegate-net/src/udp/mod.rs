//! UDP sockets: datagrams in and out, with a bounded queue and the kernel's drops in sight.
//!
//! Read `pass.rs` first: what one dispatch of a socket does. `receive.rs` and `send.rs` are its two
//! halves, `pace.rs` guesses how much there is, `call.rs` is the way to callbacks, `state.rs` what
//! a socket is, and `machine/` the queue of what waits to be sent. `open.rs` makes a socket;
//! `cx.rs` (do), `facts.rs` (ask, and options of an open socket) and `on.rs` (closures) are what
//! users call. System calls are in `sys/udp/`.
#![forbid(unsafe_code)]

pub(crate) mod call;
mod cx;
pub(crate) mod facts;
pub(crate) mod machine;
pub(crate) mod on;
pub(crate) mod open;
mod pace;
mod pass;
mod receive;
mod send;
pub(crate) mod state;
