//! What filters add to a connection. `run.rs` calls them and sends what they made, `news.rs` tells
//! what they made for the handler, `handshake.rs` is how they begin and refuse. How bytes go from one
//! filter to the next is in the crate's `filter/`.
#![forbid(unsafe_code)]

pub(crate) mod handshake;
pub(crate) mod news;
pub(crate) mod run;
