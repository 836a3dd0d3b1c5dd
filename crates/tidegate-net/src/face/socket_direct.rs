//! Reading and writing a connection without the loop's read buffer and queue, and writing several
//! pieces at once.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};

use tidegate_stream::{Chunk, Flow};

use crate::callbacks::contexts::SocketCx;
use crate::state::layer::NET;

impl SocketCx<'_> {
    /// Reads now, into memory of yours; for a connection whose
    /// [`Protocol`](crate::Protocol) has a [`readable`](crate::Protocol::readable). Also while it
    /// is paused. 0: the peer has ended, and stays so; unless `allow_half_open` is set, our side
    /// then ends in the connection's next dispatch.
    ///
    /// With filters these are the bytes that they passed up. What does not fit into `buffer` waits
    /// behind them for the next call, and counts to `write_limit` and `buffered_limit`: at most
    /// what they make of one read of 16 KiB, or of the length of `buffer` if that is more (up to
    /// 64 KiB).
    ///
    /// Errors: `WouldBlock` if there is nothing yet; this costs no system call if the kernel said
    /// so before. `Unsupported` while a pipe reads from the connection,
    /// and after [`end_and_drain`](SocketCx::end_and_drain). `NotConnected` if it is
    /// over. Any other is the connection's end, and `close` gets it, too.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use tidegate_loop::kind::Dispatch;
    /// use tidegate_net::{Net, Protocol, SocketKey};
    /// static SINK: Protocol = Protocol::new("sink").readable(readable);
    /// fn readable(d: &mut Dispatch<'_>, key: SocketKey, _: u64) {
    ///     let mut header = [0; 16];
    ///     match d.cx().socket(key).read_now(&mut header) {
    ///         Ok(0) => println!("the end"),
    ///         Ok(n) => println!("{:?}", &header[..n]),
    ///         Err(e) if e.kind() == ErrorKind::WouldBlock => {}
    ///         Err(e) => println!("{e}"),
    ///     }
    /// }
    /// # let _ = &SINK;
    /// ```
    #[inline]
    pub fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_now_more(buffer).map(|(n, _)| n)
    }

    /// The same; with the bytes comes whether there may be more. `false`: a read in the same call
    /// of the protocol would find nothing, and need not be tried.
    ///
    /// ```
    /// fn all(s: &mut tidegate_net::SocketCx<'_>, buffer: &mut [u8]) -> std::io::Result<()> {
    ///     while let (1.., true) = s.read_now_more(buffer)? {}
    ///     Ok(())
    /// }
    /// # let _ = all;
    /// ```
    #[inline]
    pub fn read_now_more(&mut self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        let key = self.key;
        let (layer, mut d) = self.cx.layer(&NET);
        layer.read_now(&mut d, key, buffer)
    }

    /// Writes now what the kernel takes of these pieces (of the first 64), and queues nothing;
    /// returns how many bytes that were. If it was not all, the connection's
    /// [`Protocol`](crate::Protocol) is called by its [`writable`](crate::Protocol::writable) when
    /// there is room.
    ///
    /// With filters they get the bytes, up to 16 KiB at a time, while the kernel takes all that
    /// they make of them. What it does not take of the last 16 KiB is queued.
    ///
    /// Errors: `WouldBlock` if it took nothing, and while earlier writes are queued or held back
    /// by `cork` or by a filter. `BrokenPipe` after our side has ended,
    /// `NotConnected` if the connection is over. Any other is the end of writing, as that of
    /// [`write`](SocketCx::write) would be.
    ///
    /// ```
    /// use std::io::{self, IoSlice};
    /// fn answer(s: &mut tidegate_net::SocketCx<'_>, head: &[u8], body: &[u8]) -> io::Result<usize> {
    ///     s.write_now(&[IoSlice::new(head), IoSlice::new(body)])
    /// }
    /// # let _ = answer;
    /// ```
    #[inline]
    pub fn write_now(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let key = self.key;
        let (layer, mut d) = self.cx.layer(&NET);
        layer.write_now(&mut d, key, pieces)
    }

    /// Writes these pieces, in one call of the kernel's if nothing waits before and there are no
    /// more than 64. What it does not take is queued, as that of [`write`](SocketCx::write): of a
    /// shared piece from 1 KiB on nothing is copied. The answer is one for all of them.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use tidegate_net::{Flow, SocketCx};
    /// fn answer(s: &mut SocketCx<'_>, head: &[u8], body: &Bytes) -> Flow {
    ///     s.write_gathered(&[head.into(), body.clone().into()])
    /// }
    /// # let _ = answer;
    /// ```
    pub fn write_gathered(&mut self, pieces: &[Chunk<'_>]) -> Flow {
        self.change(|s, h, shared| s.write_gathered(h, shared, pieces)).unwrap_or(Flow::Closed)
    }
}
