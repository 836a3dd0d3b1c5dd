//! `tokio::io::{AsyncRead, AsyncWrite}` for sockets and their halves. Only the traits: there is no
//! runtime of tokio here, so that `tokio::net`, `tokio::time` and `tokio::spawn` find none.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::adapters::scratch;
use crate::net::halves::{ReadHalf, WriteHalf};
use crate::net::socket::AsyncSocket;

macro_rules! reads {
    ($($name:ty),*) => {$(
        /// An end stays: every later read has 0 bytes.
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                if buffer.initialized().len() == buffer.capacity() {
                    let n = ready!(self.socket().poll_read(cx, buffer.initialize_unfilled()))?;
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                scratch::lend(buffer.remaining(), |bytes| {
                    let n = ready!(self.socket().poll_read(cx, bytes))?;
                    buffer.put_slice(&bytes[..n]);
                    Poll::Ready(Ok(()))
                })
            }
        }
    )*};
}

macro_rules! writes {
    ($($name:ty),*) => {$(
        /// `shutdown` ends our side: it is ready when the kernel has taken the end.
        impl AsyncWrite for $name {
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

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_shutdown(cx)
            }
        }
    )*};
}

reads!(AsyncSocket, ReadHalf);
writes!(AsyncSocket, WriteHalf);
