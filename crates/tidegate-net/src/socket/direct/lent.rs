//! [`LentSocket`]: a connection that its protocol has for one call, so that a read and a write need
//! not look for it. Nothing of the loop can be touched before it is back in its place; what is not
//! plain (a filter, a queue, an observer) goes the way of `now.rs`.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use mio::net::TcpStream;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Driver, Handle, Kind};
use tidegate_loop::{Cx, Key};

use crate::callbacks::upper::Upper;
use crate::error::close::Reason;
use crate::key::{OWNER, SocketKey};
use crate::socket::call::panicked;
use crate::socket::close;
use crate::socket::pass::{describe, go_on, pending, ready_to_pull};
use crate::socket::read::pulled;
use crate::socket::write::{GATHER, send_slices};
use crate::state::layer::{Layer, NET};
use crate::state::socket::Socket;

/// A protocol that reads and writes its connections itself, and gets each of them for the time of a
/// call: see [`LentSocket`].
pub trait Pulls {
    /// There are bytes in the kernel, and room in it. `data` is the number that the layer gave with
    /// the connection. Leave the connection where it is, or take it out and give it back, and use
    /// nothing else of the loop before that. If you drop it, the connection is over. `false`:
    /// nothing was done, and [`Protocol::readable`](crate::Protocol::readable) is called instead.
    fn pull(d: &mut Dispatch<'_>, data: u64, socket: &mut Option<LentSocket>) -> bool;
}

/// The kind of the connections that are lent to `P`: for
/// [`Protocol::lends`](crate::Protocol::lends).
pub const fn pull_kind<P: Pulls>() -> Kind {
    Kind::new("socket", &OWNER)
        .ready(ready_to_lend::<P>)
        .pending(pending)
        .close(close::asked)
        .closed(close::closed)
        .describe(describe)
}

/// A connection, lent to its protocol for one call. Its bytes go to the kernel and come from it
/// without a look-up, as by [`SocketCx::read_now`](crate::SocketCx::read_now) and
/// [`SocketCx::write_now`](crate::SocketCx::write_now). The loop has no descriptor for it meanwhile:
/// give it back before anything else of the loop is used. To drop it closes the descriptor.
///
/// ```
/// use tidegate_loop::kind::{Dispatch, Kind};
/// use tidegate_net::{LentSocket, Net, Protocol, Pulls, SocketKey, pull_kind};
/// struct Sink;
/// static LENT: Kind = pull_kind::<Sink>();
/// static SINK: Protocol = Protocol::new("sink").readable(readable).lends(&LENT);
/// fn readable(d: &mut Dispatch<'_>, key: SocketKey, _: u64) {
///     let _ = d.cx().socket(key).read_now(&mut [0; 4096]);
/// }
/// impl Pulls for Sink {
///     fn pull(d: &mut Dispatch<'_>, _: u64, socket: &mut Option<LentSocket>) -> bool {
///         let Some(lent) = socket else { return false };
///         let mut buffer = [0; 4096];
///         match lent.read(&mut buffer) {
///             Ok(1..) => {
///                 lent.wait();
///             }
///             done => {
///                 let lent = socket.take().unwrap();
///                 let _ = lent.end_read(&mut d.cx(), &mut buffer, done);
///             }
///         }
///         true
///     }
/// }
/// # let _ = &SINK;
/// ```
#[derive(Debug)]
#[must_use = "to drop it closes the descriptor"]
pub struct LentSocket {
    key: SocketKey,
    index: usize,
    stream: TcpStream,
    left: Left,
    read: u64,
    written: u64,
}

/// What the kernel may still have to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Left {
    Something,
    Nothing,
    /// Nothing, and the protocol waits for more.
    Awaited,
}

impl LentSocket {
    /// The most pieces of [`write_pieces`](LentSocket::write_pieces).
    pub const PIECES: usize = GATHER;

    /// Its key.
    #[inline]
    pub fn key(&self) -> SocketKey {
        self.key
    }

    /// Reads now. No bytes, or an error: call [`end_read`](LentSocket::end_read) with that.
    /// `buffer` must not be empty.
    #[inline(always)]
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (&mut &self.stream).read(buffer)?;
        // `ready_to_lend` checked that the kernel has no more after a short read.
        self.left = if n < buffer.len() { Left::Nothing } else { Left::Something };
        self.read += n as u64;
        Ok(n)
    }

    /// Writes now. Less than all, or an error: call [`end_write`](LentSocket::end_write) with that.
    /// `bytes` must not be empty.
    #[inline(always)]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = (&mut &self.stream).write(bytes)?;
        self.written += n as u64;
        Ok(n)
    }

    /// The same of at most [`PIECES`](LentSocket::PIECES), which have `all` bytes together.
    pub fn write_pieces(&mut self, pieces: &[IoSlice<'_>], all: usize) -> io::Result<usize> {
        let n = send_slices(&self.stream, pieces, all)?;
        self.written += n as u64;
        Ok(n)
    }

    /// Whether a read would find nothing.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.left != Left::Something
    }

    /// The protocol waits for more bytes; `false` if there may be some. Call this at the end: a
    /// connection that waits, and was not taken out, is not looked at any more.
    #[inline]
    pub fn wait(&mut self) -> bool {
        let drained = self.is_drained();
        if drained {
            self.left = Left::Awaited;
        }
        drained
    }

    /// Whether [`wait`](LentSocket::wait) was called, and nothing was there.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.left == Left::Awaited
    }

    /// Puts it back into its place.
    pub fn give_back(self, cx: &mut Cx<'_>) {
        let (layer, mut driver) = cx.layer(&NET);
        let (key, index) = (self.key, self.index);
        layer.take_back(&mut driver, key, index, self);
    }

    /// Puts it back after a read that brought no bytes, and does what follows from that: the
    /// result is as that of [`SocketCx::read_now`](crate::SocketCx::read_now).
    pub fn end_read(
        mut self,
        cx: &mut Cx<'_>,
        buffer: &mut [u8],
        done: io::Result<usize>,
    ) -> io::Result<usize> {
        // An end is there to be read again.
        self.left = Left::Something;
        let (layer, mut driver) = cx.layer(&NET);
        let (key, index) = (self.key, self.index);
        let Some((s, mut h)) = layer.take_back(&mut driver, key, index, self) else {
            return gone();
        };
        let Some(stream) = &s.stream else { return gone() };
        let (mut first, mut again) = (Some(done), false);
        // A read that a signal interrupted is repeated.
        let done = h.try_read(buffer.len(), || match first.take() {
            Some(done) => done,
            None => {
                again = true;
                (&mut &*stream).read(buffer)
            }
        });
        match done {
            Ok((n, more)) if n > 0 => {
                if again {
                    s.bytes_read += n as u64;
                    s.clocks.touch(h.nanos());
                }
                s.more = more;
                Ok(n)
            }
            done => s.read_nothing(&mut h, done.map(|_| 0)),
        }
    }

    /// Puts it back after a write that was not whole, and does what follows from that: the result is
    /// as that of [`SocketCx::write_now`](crate::SocketCx::write_now).
    pub fn end_write(
        self,
        cx: &mut Cx<'_>,
        pieces: &[IoSlice<'_>],
        done: io::Result<usize>,
    ) -> io::Result<usize> {
        let (layer, mut driver) = cx.layer(&NET);
        let (key, index) = (self.key, self.index);
        let Some((s, mut h)) = layer.take_back(&mut driver, key, index, self) else {
            return gone();
        };
        let Some(stream) = &s.stream else { return gone() };
        let all = pieces.iter().map(|p| p.len()).sum();
        let (mut first, mut again) = (Some(done), false);
        let done = h.try_write(all, || match first.take() {
            Some(done) => done,
            None => {
                again = true;
                send_slices(stream, pieces, all)
            }
        });
        let sent = match done {
            Ok(sent) => {
                if again {
                    s.wrote(&mut h, sent);
                }
                Ok(sent)
            }
            Err(e) => s.offer_failed(&mut h, e),
        };
        match sent {
            Ok(sent) if sent == all => Ok(all),
            sent => s.sent_less(&mut h, sent),
        }
    }
}

#[cold]
fn gone<T>() -> io::Result<T> {
    Err(ErrorKind::NotConnected.into())
}

impl Layer {
    /// A connection whose bytes have nothing in between, and which has some and takes some.
    #[inline(always)]
    fn lend_out(&mut self, index: usize, key: SocketKey) -> Option<(LentSocket, u64)> {
        let s = self.sockets.get_mut(index, key)?;
        if s.stirred || !s.lendable {
            return None;
        }
        debug_assert!(s.may_be_lent() && s.is_quiet() && !s.fresh);
        let Upper::Protocol(_, data) = s.upper else { return None };
        let stream = s.stream.take()?;
        Some((LentSocket { key, index, stream, left: Left::Something, read: 0, written: 0 }, data))
    }

    /// It is back. It has this key and this index.
    #[inline(always)]
    fn take_back<'s, 'd>(
        &'s mut self,
        driver: &'d mut Driver<'_>,
        key: SocketKey,
        index: usize,
        lent: LentSocket,
    ) -> Option<(&'s mut Socket, Handle<'d>)> {
        let mut h = driver.handle(&OWNER, key.0)?;
        if lent.left != Left::Something {
            h.forget(Readiness::READABLE);
        }
        let s = self.sockets.get_mut(index, key)?;
        debug_assert!(s.stream.is_none());
        // There is nothing to be dropped.
        std::mem::forget(s.stream.replace(lent.stream));
        s.bytes_read += lent.read;
        s.bytes_written += lent.written;
        if lent.left != Left::Something || lent.read | lent.written != 0 {
            s.clocks.touch(h.nanos());
        }
        s.more = lent.left == Left::Something;
        Some((s, h))
    }
}

/// The call of a protocol that has the connection. Dropped by a panic: the connection is over.
struct Lending<'a, 'b> {
    d: &'a mut Dispatch<'b>,
    socket: &'a mut Option<LentSocket>,
    key: SocketKey,
}

impl Drop for Lending<'_, '_> {
    // Inlined, so that its fields can stay in registers over the call.
    #[inline(always)]
    fn drop(&mut self) {
        cut_off(self.d, self.socket.take(), self.key);
    }
}

#[cold]
#[inline(never)]
fn cut_off(d: &mut Dispatch<'_>, socket: Option<LentSocket>, key: SocketKey) {
    if let Some(socket) = socket {
        socket.give_back(&mut d.cx());
    }
    panicked(d, key);
}

/// The connection's turn in the ready pass. Whatever is not plain, `ready_to_pull` does.
fn ready_to_lend<P: Pulls>(d: &mut Dispatch<'_>, raw: Key, index: u64) {
    let bits = d.readiness();
    let both = bits.has(Readiness::READABLE) && bits.has(Readiness::WRITABLE);
    if !both || !bits.short_read_drains() {
        return ready_to_pull(d, raw, index);
    }
    let (layer, driver) = d.layer(&NET);
    if driver.is_observed() {
        return ready_to_pull(d, raw, index);
    }
    let (key, at) = (SocketKey(raw), index as usize);
    let Some((socket, data)) = layer.lend_out(at, key) else {
        return ready_to_pull(d, raw, index);
    };
    let mut socket = Some(socket);
    let lending = Lending { d, socket: &mut socket, key };
    let called = P::pull(lending.d, data, lending.socket);
    std::mem::forget(lending);
    match socket {
        // The ordinary end of a request: it was read whole, the answer is out, and nothing of the
        // loop was touched.
        Some(socket) if socket.is_awaited() => {
            let (layer, mut driver) = d.layer(&NET);
            let socket = LentSocket { left: Left::Awaited, ..socket };
            layer.take_back(&mut driver, key, at, socket);
        }
        socket => after(d, raw, index, socket, called),
    }
}

/// The protocol was called, and there may be more to do.
#[cold]
#[inline(never)]
fn after(d: &mut Dispatch<'_>, raw: Key, index: u64, socket: Option<LentSocket>, called: bool) {
    if let Some(socket) = socket {
        socket.give_back(&mut d.cx());
    }
    if !called {
        return ready_to_pull(d, raw, index);
    }
    let key = SocketKey(raw);
    let (layer, mut driver) = d.layer(&NET);
    if let Some((s, mut h)) = layer.lend_socket(&mut driver, key) {
        if s.stream.is_none() {
            // The protocol dropped it.
            s.destroy(&mut h, Reason::Destroyed);
        }
    }
    if let Some(s) = d.layer(&NET).0.sockets.get_mut(index as usize, key) {
        debug_assert!(s.stirred || s.is_quiet());
        if !s.stirred && !s.more && d.is_settled() {
            return;
        }
    }
    pulled(d, key);
    go_on(d, key);
}
