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

reads!(AsyncSocket, ReadHalf);
writes!(AsyncWrite for AsyncSocket, poll_close);
writes!(AsyncWrite for WriteHalf, poll_close);
