//! `futures_io::{AsyncRead, AsyncWrite}` for sockets and their halves.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::net::halves::{ReadHalf, WriteHalf};
use crate::net::socket::AsyncSocket;

macro_rules! reads {
    ($($name:ty),*) => {$(
        /// Bytes go straight into the buffer. An end stays: every later read has 0 bytes.
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_read(cx, buffer)
            }
        }
    )*};
}

macro_rules! writes {
    ($($name:ty),*) => {$(
        /// `close` ends our side: it is ready when the kernel has taken the end.
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

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_shutdown(cx)
            }
        }
    )*};
}

reads!(AsyncSocket, ReadHalf);
writes!(AsyncSocket, WriteHalf);
