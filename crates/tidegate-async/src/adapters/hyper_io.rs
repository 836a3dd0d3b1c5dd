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
            let n = ready!(self.socket().poll_read(cx, bytes))?;
            buffer.put_slice(&bytes[..n]);
            Poll::Ready(Ok(()))
        })
    }
}

writes!(Write for AsyncSocket, poll_shutdown, fn is_write_vectored(&self) -> bool { true });
