//! Frames: a stream of bytes cut into the messages of a protocol.
//!
//! Read `decode.rs` first: what a protocol has to say. `handler.rs` cuts what comes and calls the
//! user; `lines.rs`, `delimited.rs` and `length_prefixed.rs` are ready-made, `parser.rs` helps to
//! write others; `fault.rs` says what was wrong with the bytes; `codec.rs` takes decoders of
//! `tokio_util` (feature `codec`). Not here: how bytes are given back, which is in
//! `socket/unread.rs`.
#![forbid(unsafe_code)]

#[cfg(feature = "codec")]
pub(crate) mod codec;
pub(crate) mod decode;
pub(crate) mod delimited;
pub(crate) mod fault;
pub(crate) mod handler;
pub(crate) mod length_prefixed;
pub(crate) mod lines;
pub(crate) mod parser;
