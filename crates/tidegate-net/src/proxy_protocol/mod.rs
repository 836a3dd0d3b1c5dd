//! The PROXY protocol: a load balancer says first which client a connection is from.
//!
//! Read `accept.rs` first: the filter of a server. `send.rs` is that of a client. Both use
//! `header.rs`, what a header says, and the codecs `text.rs` (version 1) and `binary.rs` (version
//! 2, with `crc32c.rs`); `decode.rs` tells the two apart. `trusted.rs` says who may send a header,
//! `fault.rs` why one was refused. Not here: where the address goes then, which is in
//! `socket/filter.rs` and `server/gate.rs`.
#![forbid(unsafe_code)]

pub(crate) mod accept;
pub(crate) mod binary;
pub(crate) mod crc32c;
pub(crate) mod decode;
pub(crate) mod fault;
pub(crate) mod header;
pub(crate) mod send;
pub(crate) mod text;
pub(crate) mod trusted;
