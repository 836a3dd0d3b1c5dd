//! The traits of others, for the types of this crate: `futures_io` (`AsyncRead`, `AsyncWrite`),
//! `tokio_io` (tokio's traits of the same names), `hyper_io`, `hyper_timer` and `hyper_spawn`
//! (hyper's `rt`); `scratch` is the memory that some of them read through.
//!
//! Each only renames: what a socket does is in `net/`, what a timer does in `time/`.
#![forbid(unsafe_code)]

/// The writing side for a trait of others. The traits differ in what they call its end, and in what
/// else they ask.
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
macro_rules! writes {
    ($trait:ident for $name:ident, $end:ident $(, $more:item)?) => {
        /// Its end is ready when the kernel has taken the end.
        impl $trait for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_write_vectored(cx, pieces)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_flush(cx)
            }

            fn $end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_shutdown(cx)
            }

            $($more)?
        }
    };
}

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

#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
impl crate::net::socket::AsyncSocket {
    /// Itself, as its halves have it.
    fn socket(&self) -> &Self {
        self
    }
}
