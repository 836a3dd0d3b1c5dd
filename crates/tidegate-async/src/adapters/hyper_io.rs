//! `hyper::rt::{Read, Write}` for sockets.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::adapters::scratch;
use crate::net::socket::AsyncSocket;

/// An end stays: every later read has 0 bytes.
impl Read for AsyncSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        scratch::lend(buffer.remaining(), |bytes| {
            let n = ready!(AsyncSocket::poll_read(&self, cx, bytes))?;
            buffer.put_slice(&bytes[..n]);
            Poll::Ready(Ok(()))
        })
    }
}

/// `shutdown` ends our side: it is ready when the kernel has taken the end.
impl Write for AsyncSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncSocket::poll_write(&self, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncSocket::poll_write_vectored(&self, cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncSocket::poll_flush(&self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncSocket::poll_shutdown(&self, cx)
    }
}
