//! What callers do to the bytes themselves: read and write now, write several pieces at
//! once.
//!
//! What is counted, noted and kept true here is what `read.rs` and `write.rs` do for the loop.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use mio::net::TcpStream;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Driver, Handle};
use tidegate_stream::{Chunk, Flow, ReadState};

use crate::error::close::Reason;
use crate::error::net_error::copy;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::key::{OWNER, SocketKey};
use crate::socket::read::first_read;
use crate::socket::write::{Admitted, GATHER, JOINED, send_gathered, send_slices};
use crate::state::layer::{Crowded, Layer, Shared};
use crate::state::owed::Owed;
use crate::state::socket::{Life, Socket, Watched};
use crate::state::wire::Wire;
use crate::sys;

/// Apart, so that the usual way does not carry it.
#[cold]
#[inline(never)]
fn failed<T>(kind: ErrorKind) -> io::Result<T> {
    Err(kind.into())
}

fn unsupported(text: &str) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, text)
}

impl Layer {
    /// Reads into the caller's memory: what was given back, else from the kernel. With the bytes
    /// comes whether there may be more.
    #[inline]
    pub(crate) fn read_now(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        buffer: &mut [u8],
    ) -> io::Result<(usize, bool)> {
        let handle = d.handle(&OWNER, key.0);
        let found = handle.and_then(|h| Some((self.sockets.get_mut(h.data() as usize, key)?, h)));
        let Some((s, mut h)) = found else { return failed(ErrorKind::NotConnected) };
        if !s.is_plain_pull() || s.fresh || buffer.is_empty() {
            return self.read_now_slowly(d, key, buffer);
        }
        if !h.readiness().has(Readiness::READABLE) {
            return failed(ErrorKind::WouldBlock);
        }
        let Some(stream) = &s.stream else { return failed(ErrorKind::NotConnected) };
        match h.try_read(buffer.len(), || (&mut &*stream).read(buffer)) {
            Ok((n, more)) if n > 0 => {
                s.bytes_read += n as u64;
                s.clocks.touch(h.nanos());
                s.more = more;
                Ok((n, more))
            }
            done => s.read_nothing(&mut h, done.map(|_| 0)).map(|n| (n, true)),
        }
    }

    /// The same, whatever the state of the connection.
    #[cold]
    #[inline(never)]
    fn read_now_slowly(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        buffer: &mut [u8],
    ) -> io::Result<(usize, bool)> {
        let Layer { sockets, listeners, shared, .. } = self;
        let handle = d.handle(&OWNER, key.0);
        let found = handle.and_then(|h| Some((sockets.get_mut(h.data() as usize, key)?, h)));
        let Some((s, mut h)) = found.filter(|(s, _)| s.duplex.is_open()) else {
            return Err(ErrorKind::NotConnected.into());
        };
        s.stirred = true;
        if s.is_diverted() && s.life != Life::Refused {
            return Err(unsupported(match s.pipes().and_then(|p| p.into) {
                Some(_) => "a pipe reads from this connection",
                None => "what this connection receives is dropped",
            }));
        }
        if buffer.is_empty() {
            return Ok((0, true));
        }
        if !s.given_back().is_empty() {
            return Ok((s.take_given_back(shared, buffer), true));
        }
        if !matches!(s.wire, Wire::Plain) {
            return self.read_filtered(d, key, buffer).map(|n| (n, true));
        }
        if s.duplex.read == ReadState::Ended {
            return Ok((0, true));
        }
        if s.life == Life::Connecting || !h.readiness().has(Readiness::READABLE) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(stream) = &s.stream else { return Err(ErrorKind::NotConnected.into()) };
        let done = h.try_read(buffer.len(), || (&mut &*stream).read(buffer));
        if s.fresh {
            let hit = !matches!(&done, Err(e) if e.kind() == ErrorKind::WouldBlock);
            let bytes = done.as_ref().map_or(0, |(n, _)| *n);
            first_read(s, listeners, &mut h, bytes, hit);
        }
        match done {
            Ok((n, more)) if n > 0 => {
                s.bytes_read += n as u64;
                s.clocks.touch(h.nanos());
                Ok((n, more))
            }
            done => s.read_nothing(&mut h, done.map(|_| 0)).map(|n| (n, true)),
        }
    }

    /// Writes from the caller's memory, and queues nothing. What the kernel takes whole leaves the
    /// connection as quiet as it was.
    #[inline]
    pub(crate) fn write_now(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let [piece] = pieces else { return self.write_now_pieces(d, key, pieces) };
        let handle = d.handle(&OWNER, key.0);
        let found = handle.and_then(|h| Some((self.sockets.get_mut(h.data() as usize, key)?, h)));
        let Some((s, mut h)) = found else { return failed(ErrorKind::NotConnected) };
        if !s.takes_plainly() || piece.is_empty() || !h.readiness().has(Readiness::WRITABLE) {
            return self.write_now_slowly(d, key, pieces);
        }
        let Some(stream) = &s.stream else { return failed(ErrorKind::NotConnected) };
        match h.try_write(piece.len(), || (&mut &*stream).write(piece)) {
            Ok(sent) if sent == piece.len() => {
                s.wrote(&mut h, sent);
                Ok(sent)
            }
            done => s.sent_not_all(&mut h, done),
        }
    }

    /// The same of several pieces.
    #[inline(never)]
    fn write_now_pieces(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let handle = d.handle(&OWNER, key.0);
        let found = handle.and_then(|h| Some((self.sockets.get_mut(h.data() as usize, key)?, h)));
        let Some((s, mut h)) = found else { return failed(ErrorKind::NotConnected) };
        if !s.takes_plainly() {
            return self.write_now_slowly(d, key, pieces);
        }
        let all: usize = pieces.iter().map(|p| p.len()).sum();
        match s.offer_now(&mut h, pieces, all) {
            Ok(sent) if sent == all => Ok(all),
            sent => s.sent_less(&mut h, sent),
        }
    }

    /// The same, whatever the state of the connection.
    #[cold]
    #[inline(never)]
    fn write_now_slowly(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let done = self.with(d, key, |s, h, shared| s.write_now(h, shared, pieces));
        done.unwrap_or_else(|| Err(ErrorKind::NotConnected.into()))
    }
}

impl Socket {
    /// Whether what stands above reads itself, with nothing in between.
    #[inline]
    pub(crate) fn is_plain_pull(&self) -> bool {
        self.duplex.read == ReadState::OnDemand
            && self.life == Life::Open
            && matches!(self.wire, Wire::Plain)
            && !self.is_rare()
    }

    /// Whether a write goes to the kernel, with nothing before it and nothing in between.
    #[inline]
    fn takes_plainly(&self) -> bool {
        self.life == Life::Open && matches!(self.wire, Wire::Plain) && self.duplex.write.is_clear()
    }

    /// Whether a protocol that asks for it may have the connection for a call.
    pub(crate) fn may_be_lent(&self) -> bool {
        self.is_plain_pull() && self.takes_plainly()
    }

    /// A read of the caller's gave no bytes: the end, or an error.
    #[inline(never)]
    pub(super) fn read_nothing(
        &mut self,
        h: &mut Handle<'_>,
        done: io::Result<usize>,
    ) -> io::Result<usize> {
        match done {
            Ok(_) => self.read_end(h),
            Err(e) => Err(self.pull_failed(h, e)),
        }
    }

    /// A read of the caller's gave no bytes: the error to tell it. All but `WouldBlock` are the
    /// connection's end.
    pub(super) fn pull_failed(&mut self, h: &mut Handle<'_>, e: io::Error) -> io::Error {
        if e.kind() == ErrorKind::WouldBlock {
            self.more = false;
            return e;
        }
        self.stirred = true;
        let told = copy(&e);
        match self.take_failure() {
            Some(first) => self.destroy(h, Reason::Failed(first)),
            None => {
                self.tell_reset(h, &e);
                self.fail(h, Stage::Read, e);
            }
        }
        told
    }

    /// The peer's FIN was read by the caller. What follows from it comes in the next dispatch.
    pub(super) fn read_end(&mut self, h: &mut Handle<'_>) -> io::Result<usize> {
        self.stirred = true;
        if let Some(first) = self.take_failure() {
            let told = io::Error::new(first.kind(), first.to_string());
            self.destroy(h, Reason::Failed(first));
            return Err(told);
        }
        self.duplex.read.eof();
        self.note_end(h);
        if !std::mem::replace(&mut self.end_pulled, true) {
            self.tell(h, || SocketEvent::End);
        }
        h.queue();
        Ok(0)
    }

    /// Hands the kernel these pieces; how many bytes it took. If not all: the protocol above is
    /// called when there is room.
    fn write_now(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        if !self.duplex.is_open() {
            return Err(ErrorKind::NotConnected.into());
        }
        if !self.duplex.write.is_open() {
            let refused = self.why_over();
            return Err(refused.unwrap_or_else(|| ErrorKind::BrokenPipe.into()));
        }
        let all: usize = pieces.iter().map(|p| p.len()).sum();
        if all == 0 {
            return Ok(0);
        }
        let sent = match self.wire {
            Wire::Plain => self.offer_now(h, pieces, all),
            Wire::Filter(_) => self.write_filtered_now(h, shared, pieces),
        };
        match sent {
            Ok(sent) if sent == all => Ok(all),
            sent => self.sent_less(h, sent),
        }
    }

    /// Offers the kernel these pieces, which have so many bytes together.
    #[inline(always)]
    fn offer_now(
        &mut self,
        h: &mut Handle<'_>,
        pieces: &[IoSlice<'_>],
        all: usize,
    ) -> io::Result<usize> {
        match pieces {
            [piece] => self.offer_by(h, all, |mut stream| stream.write(piece)),
            _ => self.offer_joined(h, pieces, all),
        }
    }

    #[inline(never)]
    fn offer_joined(
        &mut self,
        h: &mut Handle<'_>,
        pieces: &[IoSlice<'_>],
        all: usize,
    ) -> io::Result<usize> {
        let (mut pieces, mut all) = (pieces, all);
        if all > JOINED {
            // Some of them, which are not all empty.
            let from = pieces.iter().position(|p| !p.is_empty()).unwrap_or(0);
            pieces = &pieces[from..pieces.len().min(from + GATHER)];
            all = pieces.iter().map(|p| p.len()).sum();
        }
        self.offer_by(h, all, |stream| send_slices(stream, pieces, all))
    }

    /// One piece was offered to the kernel, which did not take it whole.
    #[cold]
    #[inline(never)]
    fn sent_not_all(&mut self, h: &mut Handle<'_>, done: io::Result<usize>) -> io::Result<usize> {
        let sent = match done {
            Ok(sent) => {
                self.wrote(h, sent);
                Ok(sent)
            }
            Err(e) => self.offer_failed(h, e),
        };
        self.sent_less(h, sent)
    }

    /// Not all of it went out.
    #[cold]
    #[inline(never)]
    pub(super) fn sent_less(
        &mut self,
        h: &mut Handle<'_>,
        sent: io::Result<usize>,
    ) -> io::Result<usize> {
        self.stirred = true;
        self.await_room(h);
        match sent {
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            sent => sent,
        }
    }

    /// Makes sure that room in the kernel is noticed, and told to the protocol above.
    fn await_room(&mut self, h: &mut Handle<'_>) {
        if !self.duplex.write.is_open() || self.upper.protocol().is_none() {
            return;
        }
        self.owed.add(Owed::ROOM);
        if self.life == Life::Connecting {
            // Its first dispatch is to come.
        } else if h.readiness().has(Readiness::WRITABLE) {
            h.queue();
        } else if self.watched != Watched::Both {
            self.watch(h);
        }
    }

    /// Whether the kernel has room, and the protocol waits for it.
    pub(crate) fn take_room(&mut self, h: &Handle<'_>) -> bool {
        self.life == Life::Open
            && self.takes_now()
            && h.readiness().has(Readiness::WRITABLE)
            && self.owed.take(Owed::ROOM)
    }

    /// Offers the kernel up to [`GATHER`] pieces in one call, if nothing waits before; how many
    /// bytes it took. An error is that writing broke.
    fn offer_pieces(&mut self, h: &mut Handle<'_>, pieces: &[&[u8]]) -> io::Result<usize> {
        let all = pieces.iter().map(|p| p.len()).sum();
        self.offer_by(h, all, |mut stream| match pieces {
            [piece] => stream.write(piece),
            pieces => send_gathered(stream, pieces),
        })
    }

    /// The same of so many bytes, by this call.
    #[inline(always)]
    fn offer_by(
        &mut self,
        h: &mut Handle<'_>,
        all: usize,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let direct = self.life != Life::Connecting
            && self.duplex.write.is_direct()
            && h.readiness().has(Readiness::WRITABLE);
        let Some(stream) = self.stream.as_ref().filter(|_| direct && all > 0) else {
            return Ok(0);
        };
        match h.try_write(all, || send(stream)) {
            Ok(n) => {
                self.wrote(h, n);
                Ok(n)
            }
            Err(e) => self.offer_failed(h, e),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn offer_failed(&mut self, h: &mut Handle<'_>, e: io::Error) -> io::Result<usize> {
        if e.kind() == ErrorKind::WouldBlock {
            return Ok(0);
        }
        if sys::is_no_buffers(&e) {
            self.retry_later(h);
            return Ok(0);
        }
        let told = copy(&e);
        self.write_failed(h, e);
        Err(told)
    }

    /// [`write`](Socket::write) of several pieces in one call.
    pub(crate) fn write_gathered(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        pieces: &[Chunk<'_>],
    ) -> Flow {
        let admitted = self.admit(h, shared);
        if admitted == Admitted::No {
            return Flow::Closed;
        }
        let before = self.queued();
        match self.wire {
            Wire::Plain => self.send_pieces(h, pieces),
            Wire::Filter(_) => {
                for piece in pieces {
                    self.write_filtered(h, shared, Chunk::Lent(piece.bytes()));
                }
            }
        }
        if admitted == Admitted::Crowded && self.queued() > before {
            shared.crowded = Crowded::Write;
            return self.full(h);
        }
        self.answer(h)
    }

    /// The kernel first; what it refuses is queued.
    fn send_pieces(&mut self, h: &mut Handle<'_>, pieces: &[Chunk<'_>]) {
        let mut rest = pieces;
        let mut out = 0;
        while !rest.is_empty() {
            let mut slices = [&[][..]; GATHER];
            let n = slices.iter_mut().zip(rest).map(|(s, p)| *s = p.bytes()).count();
            let all: usize = slices[..n].iter().map(|s| s.len()).sum();
            let Ok(sent) = self.offer_pieces(h, &slices[..n]) else { return };
            if sent < all {
                out = sent;
                break;
            }
            rest = &rest[n..];
        }
        for piece in rest {
            let len = piece.bytes().len();
            let gone = out.min(len);
            out -= gone;
            match piece {
                Chunk::Lent(bytes) => self.duplex.write.push(&bytes[gone..]),
                Chunk::Shared(bytes) if gone < len => {
                    self.duplex.write.push_bytes(bytes.slice(gone..));
                }
                Chunk::Shared(_) => {}
            }
        }
        if !rest.is_empty() {
            self.tell_queued(h);
            self.await_writable(h);
        }
    }
}
