//! The traits of others, for the types of this crate: `futures_io` (`AsyncRead`, `AsyncWrite`),
//! `tokio_io` (tokio's traits of the same names), `hyper_io`, `hyper_timer` and `hyper_spawn`
//! (hyper's `rt`); `scratch` is the memory that some of them read through.
//!
//! Each only renames: what a socket does is in `net/`, what a timer does in `time/`.
#![forbid(unsafe_code)]

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper_io;
#[cfg(feature = "hyper")]
pub(crate) mod hyper_spawn;
#[cfg(feature = "hyper")]
pub(crate) mod hyper_timer;
#[cfg(any(feature = "hyper", feature = "tokio"))]
mod scratch;
#[cfg(feature = "tokio")]
mod tokio_io;

#[cfg(any(feature = "futures-io", feature = "tokio"))]
impl crate::net::socket::AsyncSocket {
    /// Itself, as its halves have it.
    fn socket(&self) -> &Self {
        self
    }
}
