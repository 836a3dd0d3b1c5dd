//! What users set: where to listen and to connect, and every option with its default.
//!
//! Read `stream.rs` first, which all connections share, then `listen.rs` or `connect.rs`.
//! `address.rs` takes texts apart, `from.rs` says what turns into options, `adopt.rs` is for
//! connections that are there already, `back_off.rs` says how often to try. Not here: who applies
//! them, but for the socket options.
#![forbid(unsafe_code)]

pub(crate) mod address;
pub(crate) mod adopt;
pub(crate) mod back_off;
pub(crate) mod connect;
pub(crate) mod from;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod stream;
pub(crate) mod udp;
