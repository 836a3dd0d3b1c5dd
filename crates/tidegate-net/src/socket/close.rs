//! How a connection ends: the descriptor is closed at once, `on_close` comes in the closing phase.
//!
//! | end | the peer sees |
//! |---|---|
//! | both sides ended, `destroy`, a bound of `end_and_drain` | FIN |
//! | `reset`, a limit, a panic, a broken pipe | RST, unless our side had ended |
//! | a deadline, a filter's error | RST if bytes were queued, or a pipe was not done; else FIN |
//! | a filter's error that it tells the peer | FIN, see `filters/handshake.rs` |
//!
//! Why it ends is decided in `read.rs`, `write.rs`, `expire.rs`, `pass.rs`.
#![forbid(unsafe_code)]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use socket2::SockRef;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Handle, Runtime};
use tidegate_loop::{Cx, Key, KeyError};
use tidegate_stream::ReadState;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::upper::Upper;
use crate::error::close::{Close, Reason, Reset};
use crate::error::stage::Stage;
use crate::event::{NetEvent, SocketEvent};
use crate::key::{OWNER, SocketKey};
use crate::options::stream::millis;
use crate::peer_state::PeerState;
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::{NET, Shared};
use crate::state::rare::Discard;
use crate::state::socket::{Life, Remains, Socket, Watched};
use crate::state::wire::Wire;
use crate::sys;

impl Socket {
    /// The end, for this reason: the descriptor is closed now, `on_close` comes in the closing
    /// phase. Only the first reason counts.
    pub(crate) fn destroy(&mut self, h: &mut Handle<'_>, reason: Reason) {
        if !self.duplex.is_open() {
            return;
        }
        self.stirred = true;
        let reason = self.first_reason(reason);
        // The peer must not take what it has for all there is.
        if !matches!(reason, Reason::Ended | Reason::Destroyed) && self.cuts_off(h, &reason) {
            self.linger_zero(h);
        }
        self.duplex.destroy(reason.into());
        self.close_descriptor(h);
        h.close();
    }

    /// Whether this end loses bytes of which the peer knows nothing. A user who asks for it
    /// by `destroy` chose so.
    #[cold]
    fn cuts_off(&self, h: &Handle<'_>, reason: &Reason) -> bool {
        let write = &self.duplex.write;
        if self.life == Life::Connecting || write.is_finished() {
            return false;
        }
        match reason {
            Reason::WriteLimit { .. } | Reason::Panicked | Reason::Piped(_) => true,
            Reason::Failed(e) if !has_lost_bytes(e.stage()) => false,
            Reason::TimedOut(..) | Reason::Failed(_) => {
                !write.is_flushed() || self.is_piped_from(h)
            }
            Reason::Ended | Reason::Destroyed => false,
        }
    }

    /// Closing will send a RST; on a Unix domain socket it cannot, unless the kernel does
    /// it because bytes of the peer were not read.
    fn linger_zero(&mut self, rt: &mut Runtime<'_>) {
        let Some(stream) = &self.stream else { return };
        let is_reset = match self.transport() {
            // Without it the end is a FIN: no worse than before.
            Some(_) => SockRef::from(stream).set_linger(Some(Duration::ZERO)).is_ok(),
            None => sys::kernel_queues(stream).receive.is_some_and(|unread| unread > 0),
        };
        self.reset = if is_reset { Reset::Sent } else { Reset::Unsupported };
        if is_reset {
            self.tell(rt, || SocketEvent::Reset { by_peer: false });
        }
    }

    /// The end, by a RST.
    pub(crate) fn reset(&mut self, h: &mut Handle<'_>) {
        if self.duplex.is_open() && self.life != Life::Connecting {
            self.linger_zero(h);
        }
        self.destroy(h, Reason::Destroyed);
    }

    /// Our side ends after what is queued; what comes is dropped.
    pub(crate) fn end_and_drain(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        most: u64,
        silence: Duration,
        total: Duration,
    ) {
        if !self.duplex.is_open() {
            return;
        }
        drop(self.take_all_given_back(shared));
        self.pipes_mut().discard = Some(Discard::UpTo(most));
        self.steer_reads();
        let now = as_nanos(h.clock());
        self.clocks.set_idle(Duration::ZERO, now);
        self.clocks.set_linger(silence, now);
        match self.life {
            Life::Connecting | Life::Gated => self.set_later_lifetime(millis(total)),
            _ => self.clocks.set_until(millis(total), now),
        }
        self.resume(h);
        self.end_and_tell(h, shared);
    }

    /// So many bytes came that are dropped. Beyond the bound nothing more is read; the
    /// connection ends as soon as our side has ended.
    pub(crate) fn discard(&mut self, h: &mut Handle<'_>, bytes: usize) {
        let pipes = self.pipes_mut();
        if let Some(Discard::UpTo(left)) = &mut pipes.discard {
            if bytes as u64 <= *left {
                *left -= bytes as u64;
                return;
            }
        }
        pipes.discard = Some(Discard::Over);
        self.duplex.read.pause();
        if self.is_discarded() {
            h.pend();
        }
    }

    /// Whether our side has ended, and more bytes came than are to be dropped.
    pub(crate) fn is_discarded(&self) -> bool {
        let over = self.pipes().is_some_and(|p| p.discard == Some(Discard::Over));
        over && self.duplex.write.is_finished()
    }

    /// Whether nothing is left to wait for: its server shuts down, our side has ended, the peer is
    /// gone, and reading is paused, by no pipe.
    pub(crate) fn is_abandoned(&self, h: &Handle<'_>) -> bool {
        let paused = self.duplex.read == ReadState::Paused && self.life == Life::Open;
        let over = self.clocks.has_grace() && self.duplex.write.is_finished();
        let reader = self.pipes().and_then(|p| p.into);
        if !paused || !over || reader.is_some_and(|pipe| h.check(pipe.into()).is_ok()) {
            return false;
        }
        self.hangup == PeerState::Gone || self.peer_state(h) == PeerState::Gone
    }

    /// The end of such a connection. A peer of a Unix domain socket is gone without an error.
    #[cold]
    pub(crate) fn end_abandoned(&mut self, h: &mut Handle<'_>) {
        match self.stream.as_ref().and_then(|stream| stream.take_error().ok().flatten()) {
            Some(e) => {
                self.tell_reset(h, &e);
                self.fail(h, Stage::Read, e);
            }
            None => self.destroy(h, Reason::Ended),
        }
    }

    /// Whether all that is left to do is to drop what comes.
    pub(crate) fn only_discards(&self) -> bool {
        self.pipes().is_some_and(|p| p.discard.is_some()) && self.duplex.write.is_finished()
    }

    pub(crate) fn fail(&mut self, h: &mut Handle<'_>, stage: Stage, source: io::Error) {
        let error = self.error(stage, source, h);
        self.destroy(h, Reason::Failed(error));
    }

    /// This try to connect has failed: the end, unless there is to be another.
    #[cold]
    pub(crate) fn try_failed(&mut self, h: &mut Handle<'_>, stage: Stage, source: io::Error) {
        let error = self.error(stage, source, h);
        self.end_or_rest(h, Reason::Failed(error));
    }

    /// The same for any reason.
    #[cold]
    pub(crate) fn end_or_rest(&mut self, h: &mut Handle<'_>, reason: Reason) {
        let connecting = self.life == Life::Connecting && self.duplex.is_open();
        let error = match &reason {
            Reason::Failed(e) | Reason::TimedOut(_, e) if connecting => e.clone(),
            _ => return self.destroy(h, reason),
        };
        let Some(c) = self.connecting_mut() else { return self.destroy(h, reason) };
        let Some(after) = c.next_try(&error) else { return self.destroy(h, reason) };
        let tries = c.tries;
        c.rest = Some(after);
        // A lookup that is under way is of no use any more.
        (c.name, c.host) = (None, None);
        self.close_descriptor(h);
        self.watched = Watched::Nothing;
        let closed = Readiness::READ_CLOSED | Readiness::WRITE_CLOSED | Readiness::ERROR;
        h.forget(Readiness::READABLE | Readiness::WRITABLE | Readiness::PRIORITY | closed);
        self.set_remote(None);
        self.clocks.set_until(0, 0);
        self.tell(h, || SocketEvent::TryFailed { error, tries, after });
        h.pend();
    }

    pub(crate) fn close_descriptor(&mut self, h: &mut Handle<'_>) {
        self.offer_later();
        if let Some(c) = self.connecting_mut() {
            c.drop_attempts(h);
        }
        if let Some(mut stream) = self.stream.take() {
            if self.watched != Watched::Nothing {
                h.before_close(&mut stream);
            }
        }
    }

    #[cold]
    fn tell_closed(&self, rt: &mut Runtime<'_>, reason: &Reason) {
        let elapsed = self.age(rt);
        rt.emit(|| {
            let mut connection = self.connection();
            // Of a connect that failed, the error knows more.
            let error = reason.error();
            connection.local = connection.local.or(error.and_then(|e| e.local()));
            connection.remote = connection.remote.or(error.and_then(|e| e.remote()));
            let closed = SocketEvent::Closed {
                reason: reason.clone(),
                unsent: self.queued(),
                bytes_read: self.bytes_read,
                bytes_written: self.bytes_written,
                elapsed,
            };
            NetEvent::Socket(connection, closed)
        });
    }
}

impl Remains {
    /// Ids that wait in front of the filters come behind those that have passed them, and do not
    /// get out.
    #[cold]
    pub(crate) fn take_ids(&mut self) {
        if let Wire::Filter(stack) = &mut self.wire {
            while let Some(id) = stack.take_id() {
                self.write.expect_never(id);
            }
        }
    }
}

/// Whether an error of this stage may leave bytes unsent that the kernel would have taken.
fn has_lost_bytes(stage: Stage) -> bool {
    let filter = matches!(stage, Stage::Filter | Stage::Handshake | Stage::Tls | Stage::Truncated);
    filter || stage == Stage::Register
}

/// [`Cx::close`](tidegate_loop::Cx::close) was called with its key.
pub(crate) fn asked(cx: &mut Cx<'_>, key: Key, _: u64) -> Result<(), KeyError> {
    let (layer, mut d) = cx.layer(&NET);
    layer.with(&mut d, SocketKey(key), |s, h, _| s.destroy(h, Reason::Destroyed));
    Ok(())
}

/// The closing phase: the slot is freed, then `on_close` is called.
pub(crate) fn closed(d: &mut Dispatch<'_>, raw: Key, index: u64) {
    let key = SocketKey(raw);
    over(d, raw, index, |d, left, close| {
        if !matches!(left.wire, Wire::Plain) {
            left.take_ids();
        }
        while let Some((id, is_out)) = left.write.take_expected() {
            // What had no bytes was not written, either, if it was never connected.
            let result = if is_out && !left.was_connecting { Ok(()) } else { Err(&close.reason) };
            let upper = &mut left.upper;
            let told = catch_unwind(AssertUnwindSafe(|| match upper {
                Upper::User(handler) => {
                    handler.on_written(&mut SocketCx::new(d.cx(), key), id, result);
                }
                Upper::Away => {}
                Upper::Protocol(p, data) => (p.written)(d, key, *data, id, result),
            }));
            // The others, and the close, are still to be told.
            if let Err(payload) = told {
                d.driver().panic_later(payload);
            }
        }
        match &mut left.upper {
            Upper::User(handler) => handler.on_close(&mut SocketCx::new(d.cx(), key), close),
            Upper::Away => {}
            Upper::Protocol(p, data) => (p.close)(d, key, *data, close),
        }
    });
}

/// Frees the slot, counts the end, tells pipes, and then somebody.
#[inline(always)]
pub(crate) fn over(
    d: &mut Dispatch<'_>,
    raw: Key,
    index: u64,
    tell: impl FnOnce(&mut Dispatch<'_>, &mut Remains, Close),
) {
    let (layer, mut driver) = d.layer(&NET);
    let (index, key) = (index as usize, SocketKey(raw));
    let Some(s) = layer.sockets.get_mut(index, key) else { return };
    let reason = s.duplex.take_outcome().map_or(Reason::Destroyed, Reason::from);
    if driver.is_observed() {
        s.tell_closed(&mut driver, &reason);
    }
    s.count_end(&mut layer.counted, &reason);
    let mut close = Close {
        reason,
        peer: s.remote(),
        unsent: s.queued(),
        bytes_read: s.bytes_read,
        bytes_written: s.bytes_written,
        piped: false,
        reset: s.reset,
    };
    let counted = s.counted();
    let Some(mut left) = layer.remove(&driver, index, key) else { return };
    if let Some(handle) = driver.handle(&OWNER, raw) {
        handle.free();
    }
    if let Some(server) = left.server {
        if let Some(l) = layer.listener(&driver, server) {
            l.note_close(&close);
            l.closed_one(&mut driver, counted);
        }
    }
    if layer.held > 0 {
        layer.pend_held(&mut driver);
    }
    if let Some(connecting) = left.rare.as_deref_mut().and_then(|rare| rare.connecting.take()) {
        connecting.forget(&mut d.cx());
    }
    if let Some(pipes) = left.rare.as_deref().map(|rare| rare.pipes) {
        if let Some(pipe) = pipes.into {
            close.piped |= pipe.source_closed(d, close.reason.result());
        }
        if let Some(pipe) = pipes.from {
            close.piped |= pipe.sink_closed(d, close.reason.result());
        }
    }
    if let Some((watcher, data)) = left.rare.as_deref().and_then(|rare| rare.watcher) {
        watcher(d, data, &close);
    }
    let told = catch_unwind(AssertUnwindSafe(|| tell(d, &mut left, close)));
    if let Err(payload) = told {
        // Not while the panic unwinds: they may be users' values whose drop panics.
        d.driver().bury(left);
        resume_unwind(payload);
    }
}
