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

reads!(AsyncSocket, ReadHalf);
writes!(AsyncWrite for AsyncSocket, poll_shutdown, fn is_write_vectored(&self) -> bool { true });
writes!(AsyncWrite for WriteHalf, poll_shutdown, fn is_write_vectored(&self) -> bool { true });
