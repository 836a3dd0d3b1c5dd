//! HTTP/1.1 of tidegate.
//!
//! `codec/` turns bytes into messages and messages into bytes. It knows no socket, no loop and no
//! clock, and it allocates nothing. The plain types that it needs stand beside it.
#![deny(unsafe_code)]

pub mod codec;
mod encode_error;
mod limits;
mod refusal;
mod status;
mod version;
