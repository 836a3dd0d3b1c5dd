//! The write path of a connection: admitted, offered to the kernel, queued, awaited (the poller
//! says when there is room), gathered, ended.
//!
//! When and how much is decided by `WriteState` of the stream crate. A writable event comes
//! here by `flush`, which `pass.rs` calls.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;
use socket2::SockRef;
use tidegate_loop::Cx;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Handle, Runtime};
use tidegate_stream::{Chunk, Flow, ReadState, Refused};

use crate::error::close::{Reason, Scope};
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::key::SocketKey;
use crate::socket::filters::run::By;
use crate::state::layer::{Crowded, NET, Shared};
use crate::state::owed::Owed;
use crate::state::socket::{Life, Socket, Watched};
use crate::state::wire::Wire;
use crate::sys;

/// Pieces that leave in one call.
pub(crate) const GATHER: usize = 64;

/// Several pieces that have up to so many bytes together go out as one: to copy them costs less
/// than to name each to the kernel.
pub(crate) const JOINED: usize = 512;

/// Whether a write is accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    Yes,
    /// Yes, but the loop's queues hold more than `buffered_limit`.
    Crowded,
    No,
}

impl Socket {
    /// Accepts `data`, or says why not.
    #[inline(always)]
    pub(crate) fn write(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        data: Chunk<'_>,
    ) -> Flow {
        match self.admit(h, shared) {
            Admitted::Yes => {}
            Admitted::Crowded => return self.write_crowded(h, shared, data),
            Admitted::No => return Flow::Closed,
        }
        match self.wire {
            Wire::Plain => self.send(h, data),
            Wire::Filter(_) => self.write_filtered(h, shared, data),
        }
        self.answer(h)
    }

    /// The answer to a write, by what is queued now.
    #[inline(always)]
    pub(crate) fn answer(&mut self, h: &mut Handle<'_>) -> Flow {
        match self.duplex.write.flow() {
            Flow::Full => self.full(h),
            Flow::Ready if !matches!(self.wire, Wire::Plain) => self.answer_filtered(h),
            flow => flow,
        }
    }

    /// A write while `buffered_limit` is exceeded: the kernel may take it; if it is queued, the
    /// answer is `Full`, and other connections are closed.
    #[cold]
    fn write_crowded(&mut self, h: &mut Handle<'_>, shared: &mut Shared, data: Chunk<'_>) -> Flow {
        let before = self.queued();
        match self.wire {
            Wire::Plain => self.send(h, data),
            Wire::Filter(_) => self.write_filtered(h, shared, data),
        }
        if self.queued() <= before {
            return self.answer(h);
        }
        shared.crowded = Crowded::Write;
        self.full(h)
    }

    /// The rest of a write that found nothing queued, after the kernel took `out` bytes.
    #[cold]
    pub(crate) fn keep_rest(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        data: Chunk<'_>,
        out: usize,
    ) -> Flow {
        self.keep(h, data, out);
        if shared.buffered > shared.limits.buffered_limit {
            shared.crowded = Crowded::Write;
            return self.full(h);
        }
        self.answer(h)
    }

    /// [`write`](Socket::write) with an id, which `on_written` names.
    pub(crate) fn write_id(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        data: Chunk<'_>,
        id: u64,
    ) -> Flow {
        let flow = self.write(h, shared, data);
        if flow == Flow::Closed {
            return flow;
        }
        self.expect(id);
        let flow = if flow == Flow::Ready { self.answer(h) } else { flow };
        if self.duplex.write.has_effect() {
            h.pend();
        }
        flow
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn write_filtered(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        data: Chunk<'_>,
    ) {
        self.filter(h, shared, By::User, |stack, run| stack.outbound(data.bytes(), run));
    }

    /// The same for what filters let through or keep.
    #[cold]
    fn answer_filtered(&mut self, h: &mut Handle<'_>) -> Flow {
        let queued = self.queued();
        if queued > 0 && queued >= self.duplex.write.high_water_mark() {
            return self.full(h);
        }
        Flow::Ready
    }

    /// Writers are to wait for the drain.
    #[cold]
    pub(crate) fn full(&mut self, h: &mut Handle<'_>) -> Flow {
        self.tell(h, || SocketEvent::Full { queued: self.queued() });
        self.duplex.write.stop()
    }

    /// Whether bytes may be queued. Beyond a limit it is the connection's end, if it was
    /// asked to stop before.
    #[inline(always)]
    pub(crate) fn admit(&mut self, h: &mut Handle<'_>, shared: &Shared) -> Admitted {
        let (buffered, most) = (shared.buffered, shared.limits.buffered_limit);
        if self.duplex.write.admit().is_ok() && buffered <= most {
            return Admitted::Yes;
        }
        self.admit_beyond(h, buffered, most)
    }

    #[cold]
    #[inline(never)]
    fn admit_beyond(&mut self, h: &mut Handle<'_>, buffered: usize, most: usize) -> Admitted {
        let (scope, queued, limit) = match self.duplex.write.admit() {
            Ok(()) if self.queued() == 0 || !self.duplex.write.needs_drain() => {
                return Admitted::Crowded;
            }
            Ok(()) => (Scope::Loop, buffered, most),
            Err(Refused::Limit { queued, limit }) => (Scope::Socket, queued, limit),
            Err(_) => return Admitted::No,
        };
        self.destroy(h, Reason::WriteLimit { scope, queued, limit });
        Admitted::No
    }

    /// Tries the kernel first, if nothing waits before; queues the rest.
    #[inline(always)]
    pub(crate) fn send(&mut self, h: &mut Handle<'_>, data: Chunk<'_>) {
        let bytes = data.bytes();
        let Some(out) = self.offer(h, bytes) else { return };
        if out == bytes.len() {
            return;
        }
        self.keep(h, data, out);
    }

    /// Queues what the kernel did not take.
    #[cold]
    fn keep(&mut self, h: &mut Handle<'_>, data: Chunk<'_>, out: usize) {
        match data {
            Chunk::Lent(bytes) => self.duplex.write.push(&bytes[out..]),
            Chunk::Shared(bytes) => self.duplex.write.push_bytes(bytes.slice(out..)),
        }
        self.tell_queued(h);
        self.await_writable(h);
    }

    /// Offers the kernel these bytes, if nothing waits before; how many it took. `None` if
    /// writing broke.
    #[inline(always)]
    pub(crate) fn offer(&mut self, h: &mut Handle<'_>, bytes: &[u8]) -> Option<usize> {
        let mut out = 0;
        if let Some(stream) = &self.stream {
            if self.life != Life::Connecting
                && self.duplex.write.is_direct()
                && !bytes.is_empty()
                && h.readiness().has(Readiness::WRITABLE)
            {
                match h.try_write(bytes.len(), || (&mut &*stream).write(bytes)) {
                    Ok(n) => out = n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) if sys::is_no_buffers(&e) => self.retry_later(h),
                    Err(e) => {
                        self.write_failed(h, e);
                        return None;
                    }
                }
            }
        }
        self.wrote(h, out);
        Some(out)
    }

    #[inline]
    pub(crate) fn wrote(&mut self, rt: &mut Runtime<'_>, bytes: usize) {
        if bytes > 0 {
            if rt.is_observed() {
                self.observe_write(rt, bytes);
            }
            self.bytes_written += bytes as u64;
            self.clocks.touch(rt.moment());
        }
    }

    /// What waits has changed.
    pub(crate) fn tell_queued(&self, rt: &mut Runtime<'_>) {
        self.tell(rt, || SocketEvent::Queued { bytes: self.duplex.write.len() });
    }

    /// Something is queued: makes sure that room in the kernel is noticed.
    pub(crate) fn await_writable(&mut self, h: &mut Handle<'_>) {
        if self.life == Life::Connecting || !self.duplex.write.wants_write() {
            return;
        }
        if h.readiness().has(Readiness::WRITABLE) {
            h.queue();
        } else if self.watched != Watched::Both {
            self.watch(h);
        }
    }

    /// Registers with the poller for what is needed by now.
    pub(crate) fn watch(&mut self, h: &mut Handle<'_>) {
        let Some(stream) = &mut self.stream else { return };
        let both = !self.duplex.write.is_empty()
            || self.life == Life::Connecting
            || self.owed.has(Owed::ROOM);
        let (interest, watched) = if both {
            (Handle::READS | Interest::WRITABLE, Watched::Both)
        } else {
            (Handle::READS, Watched::Reads)
        };
        let done = if self.watched == Watched::Nothing {
            h.register(stream, interest)
        } else {
            h.reregister(stream, interest)
        };
        match done {
            Ok(()) => {
                self.watched = watched;
                self.fresh = self.bytes_read == 0;
            }
            Err(e) => self.fail(h, Stage::Register, e),
        }
    }

    /// Writing is over, reading is not: an answer that came before the reset is
    /// still delivered, and then the connection ends with this error. A paused
    /// connection would never get there, so it ends at once.
    #[cold]
    pub(crate) fn write_failed(&mut self, h: &mut Handle<'_>, source: io::Error) {
        self.stirred = true;
        let source = sys::write_error(source);
        self.tell_reset(h, &source);
        let error = self.error(Stage::Write, source, h);
        self.duplex.write.fail();
        if self.duplex.read.is_flowing() {
            self.keep_failure(error);
            h.assume(Readiness::READABLE);
            h.queue();
        } else {
            self.destroy(h, Reason::Failed(error));
        }
    }

    /// The kernel has no memory for a write now. A poller may not tell when it has: a timer tries
    /// again.
    #[cold]
    pub(crate) fn retry_later(&mut self, h: &mut Handle<'_>) {
        self.stirred = true;
        h.forget(Readiness::WRITABLE);
        self.owed.add(Owed::RETRY);
        h.pend();
    }

    /// Sends what is queued, as far as the kernel and the budget go.
    pub(crate) fn flush(&mut self, h: &mut Handle<'_>, shared: &Shared) {
        if self.life == Life::Connecting {
            return;
        }
        let mut left = shared.limits.write_budget;
        while left > 0 && self.duplex.write.wants_write() && h.readiness().has(Readiness::WRITABLE)
        {
            let Some(stream) = &self.stream else { return };
            let mut pieces = [&[][..]; GATHER];
            let n = self.duplex.write.gather(&mut pieces);
            let (n, len) = cut(&mut pieces[..n], left);
            let sent = h.try_write(len, || match n {
                1 => (&mut &*stream).write(pieces[0]),
                _ => send_gathered(stream, &pieces[..n]),
            });
            match sent {
                Ok(sent) => {
                    self.duplex.write.advance(sent);
                    self.wrote(h, sent);
                    left -= sent;
                    self.tell_queued(h);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if sys::is_no_buffers(&e) => {
                    self.retry_later(h);
                    break;
                }
                Err(e) => return self.write_failed(h, e),
            }
        }
        if self.duplex.write.is_empty() {
            self.forget_answers();
        }
        self.await_writable(h);
    }

    /// Our side ends, after what is queued.
    pub(crate) fn end(&mut self, h: &mut Handle<'_>, shared: &mut Shared) {
        if !self.duplex.write.is_open() {
            return;
        }
        self.duplex.write.end();
        if !matches!(self.wire, Wire::Plain) {
            self.filter(h, shared, By::User, |stack, run| stack.close(run));
        }
        if self.duplex.write.wants_write() {
            self.flush(h, shared);
        }
        self.finish();
    }

    /// The same, called by the user or a pipe: effects are delivered in the pending phase.
    pub(crate) fn end_and_tell(&mut self, h: &mut Handle<'_>, shared: &mut Shared) {
        self.end(h, shared);
        if self.duplex.write.has_effect() {
            h.pend();
        }
    }

    /// Sends our FIN, if it is due. After the peer's, closing the descriptor does that and
    /// saves a call: once `on_finish` returns, which may still ask the socket.
    pub(crate) fn finish(&mut self) {
        if self.life == Life::Connecting || !self.duplex.write.wants_fin() {
            return;
        }
        if self.duplex.read != ReadState::Ended {
            if let Some(stream) = &self.stream {
                // Fails only if the connection is gone, which the read side tells.
                let _ = stream.shutdown(Shutdown::Write);
            }
        }
        self.duplex.write.fin_sent();
    }
}

/// How long a write waits for which the kernel had no memory.
const RETRY: Duration = Duration::from_millis(10);

/// A timer tries what [`Socket::retry_later`] left. There is one for each connection.
#[cold]
pub(crate) fn arm_retry(cx: &mut Cx<'_>, key: SocketKey) {
    let timer = cx.timer(RETRY, move |cx, _| {
        let (layer, mut d) = cx.layer(&NET);
        let Some((s, mut h)) = layer.lend_socket(&mut d, key) else { return };
        s.owed.take(Owed::RETRYING);
        h.assume(Readiness::WRITABLE);
        h.queue();
    });
    // What waits keeps the loop alive.
    let _ = cx.set_ref(timer, false);
}

/// Sends pieces that have so many bytes together: up to [`GATHER`], or few bytes.
#[inline(never)]
pub(crate) fn send_slices(
    mut stream: &TcpStream,
    pieces: &[IoSlice<'_>],
    all: usize,
) -> io::Result<usize> {
    if let [piece] = pieces {
        return stream.write(piece);
    }
    if all <= JOINED {
        let (mut joined, mut end) = ([0; JOINED], 0);
        for piece in pieces {
            joined[end..end + piece.len()].copy_from_slice(piece);
            end += piece.len();
        }
        return stream.write(&joined[..end]);
    }
    let mut slices = [&[][..]; GATHER];
    let n = slices.iter_mut().zip(pieces).map(|(s, p)| *s = p).count();
    send_gathered(stream, &slices[..n])
}

pub(crate) fn send_gathered(stream: &TcpStream, pieces: &[&[u8]]) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); GATHER];
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
    }
    let slices = &slices[..pieces.len()];
    stream.try_io(|| SockRef::from(stream).send_vectored_with_flags(slices, sys::SEND_FLAGS))
}

/// Cuts the pieces to `most` bytes; returns how many pieces are left, and their length.
fn cut(pieces: &mut [&[u8]], most: usize) -> (usize, usize) {
    let mut len = 0;
    for (i, piece) in pieces.iter_mut().enumerate() {
        let left = most - len;
        if piece.len() >= left {
            *piece = &piece[..left];
            return (i + 1, most);
        }
        len += piece.len();
    }
    (pieces.len(), len)
}
