//! The read loop of a connection, the peer's end, pause and resume, which cost no system call.
//! What filters make of the bytes is in `filters/`.
//!
//! When it runs is decided by `pass.rs`.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read};

use slab::Slab;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Handle};
use tidegate_stream::ReadState;

use crate::callbacks::protocol::ProtocolCall;
use crate::error::close::Reason;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::key::{OWNER, SocketKey};
use crate::peer_state::PeerState;
use crate::socket::call::{call_at, call_protocol, data, ended, panicked, received};
use crate::socket::filters::news::{filtered, settle, wire_ended};
use crate::state::layer::{Layer, NET};
use crate::state::listener::Listener;
use crate::state::socket::{Life, Socket, Watched};
use crate::state::wire::Wire;

/// One read takes at most this much; the buffer belongs to the loop.
const READ_BUFFER: usize = 64 * 1024;

/// How a read loop ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// The connection is quiet, or over, or about to be offered: there is nothing to write, to
    /// deliver or to queue.
    Quiet,
    /// Quiet, and what stands above read itself.
    Pulled,
    Done,
}

/// Reads until the kernel has no more, the budget is spent, or a callback
/// pauses, closes or replaces.
#[inline]
pub(crate) fn read(d: &mut Dispatch<'_>, key: SocketKey) -> Reads {
    let mut taken = 0;
    let Some((buffer, mut d)) = d.lend_scratch(READ_BUFFER) else { return Reads::Done };
    let d = &mut d;
    loop {
        let (layer, mut driver) = d.layer(&NET);
        let Layer { sockets, listeners, shared, .. } = layer;
        let left = shared.limits.read_budget.saturating_sub(taken);
        let Some(mut h) = driver.handle(&OWNER, key.0) else { return Reads::Done };
        let Some(s) = sockets.get_mut(h.data() as usize, key) else { return Reads::Done };
        let (bits, index) = (h.readiness(), h.data() as usize);
        if left == 0 || !bits.has(Readiness::READABLE) || !s.wants_read() {
            if s.duplex.read == ReadState::OnDemand {
                if let Some(pulled) = pull_first(d, key, index, bits) {
                    return pulled;
                }
                taken += match on_demand(d, key, &mut buffer[..left.min(READ_BUFFER)]) {
                    0 => return Reads::Done,
                    n => n,
                };
                continue;
            }
            if bits.has(Readiness::ERROR | Readiness::WRITE_CLOSED) {
                s.failed_while_ended(&mut h);
            }
            if !matches!(s.wire, Wire::Plain) {
                settle(d, key);
            }
            return Reads::Done;
        }
        let Some(stream) = &s.stream else { return Reads::Done };
        let len = left.min(READ_BUFFER);
        let (n, more) = match h.try_read(len, || (&mut &*stream).read(&mut buffer[..len])) {
            Ok(read) => read,
            Err(e) => return not_read(d, key, e),
        };
        if s.fresh {
            first_read(s, listeners, &mut h, n, true);
        }
        if n == 0 {
            at_end(d, key);
            return Reads::Done;
        }
        taken += n;
        s.bytes_read += n as u64;
        s.clocks.touch(h.nanos());
        match s.wire {
            Wire::Plain if s.is_rare() => received(d, key, &mut buffer[..n]),
            Wire::Plain => {
                let bytes = &mut buffer[..n];
                let quiet = match s.upper.take_user() {
                    Some(h) => call_at(d, key, index, h, |h, s| h.on_data(s, bytes)),
                    None => data(d, key, bytes),
                };
                // The ordinary end of an echo.
                if quiet && !more && d.is_settled() {
                    return Reads::Quiet;
                }
                d.settle();
            }
            Wire::Filter(_) => {
                if !filtered(d, key, &mut buffer[..n]) {
                    return Reads::Quiet;
                }
            }
        }
        if !more {
            return Reads::Done;
        }
    }
}

/// A read brought nothing but an error.
#[inline(never)]
fn not_read(d: &mut Dispatch<'_>, key: SocketKey, e: io::Error) -> Reads {
    let would_block = e.kind() == ErrorKind::WouldBlock;
    let (layer, mut driver) = d.layer(&NET);
    let Layer { sockets, listeners, .. } = layer;
    let Some(mut h) = driver.handle(&OWNER, key.0) else { return Reads::Done };
    let Some(s) = sockets.get_mut(h.data() as usize, key) else { return Reads::Done };
    if s.fresh {
        first_read(s, listeners, &mut h, 0, !would_block);
    }
    if !would_block {
        s.read_failed(&mut h, e);
        return Reads::Quiet;
    }
    if !matches!(s.wire, Wire::Plain) {
        settle(d, key);
    }
    Reads::Done
}

/// Checks that are only needed until a connection has read and is registered with the poller.
#[cold]
#[inline(never)]
pub(crate) fn first_read(
    s: &mut Socket,
    listeners: &mut Slab<Listener>,
    h: &mut Handle<'_>,
    bytes: usize,
    hit: bool,
) {
    if s.watched == Watched::Nothing {
        // Before the poller spoke: did it pay?
        let server = s.server.and_then(|k| h.other(&OWNER, k.into())).map(|l| l.data());
        if let Some(l) = server.and_then(|i| listeners.get_mut(i as usize)) {
            l.first_reads.report(hit);
        }
    }
    if bytes > 0 && s.bytes_read == 0 {
        s.tell(h, || SocketEvent::FirstRead { bytes });
    }
    let has_read = bytes > 0 || s.bytes_read > 0;
    s.fresh = !has_read || s.watched == Watched::Nothing;
}

impl Socket {
    /// The end, by the first error that there was.
    #[inline(never)]
    fn read_failed(&mut self, h: &mut Handle<'_>, e: io::Error) {
        match self.take_failure() {
            Some(first) => self.destroy(h, Reason::Failed(first)),
            None => {
                self.tell_reset(h, &e);
                self.fail(h, Stage::Read, e);
            }
        }
    }

    /// A half-open connection was reset, which no read of the loop will show. Windows keeps no
    /// error for it: there a read that is tried now fails.
    #[cold]
    fn failed_while_ended(&mut self, h: &mut Handle<'_>) {
        if self.duplex.read != ReadState::Ended || self.duplex.is_done() {
            return;
        }
        let Some(stream) = &self.stream else { return };
        let failed = match stream.take_error() {
            Ok(None) => (&mut &*stream).read(&mut [0]).err(),
            Ok(failed) => failed,
            Err(e) => Some(e),
        };
        if let Some(e) = failed.filter(|e| e.kind() != ErrorKind::WouldBlock) {
            self.tell_reset(h, &e);
            self.fail(h, Stage::Read, e);
        }
    }

    /// What to call for bytes in the kernel, if what stands above reads itself, with nothing in
    /// between.
    #[inline]
    fn pulls(&self, bits: Readiness) -> Option<(ProtocolCall, u64)> {
        if !bits.has(Readiness::READABLE) || !self.is_plain_pull() {
            return None;
        }
        self.upper.readable()
    }

    /// Whether bytes are to be read: the user wants them, or a filter does.
    #[inline]
    pub(crate) fn wants_read(&self) -> bool {
        self.duplex.read.wants_read() || self.filters_read()
    }

    /// The same, or they are taken on demand.
    #[inline]
    pub(crate) fn takes_bytes(&self) -> bool {
        self.duplex.read.is_flowing() || self.filters_read()
    }

    /// What the poller said of the peer, or the read of its end.
    pub(crate) fn peer_state(&self, h: &Handle<'_>) -> PeerState {
        let bits = h.readiness();
        // Closed for writing, but not by us: the peer's socket is gone.
        let cut = bits.has(Readiness::WRITE_CLOSED) && !self.duplex.write.is_finished();
        if !self.duplex.is_open() || bits.has(Readiness::ERROR) || cut {
            PeerState::Gone
        } else if self.duplex.read == ReadState::Ended || bits.has(Readiness::READ_CLOSED) {
            PeerState::Ended
        } else {
            PeerState::Open
        }
    }

    /// What `on_hangup` is to be called with: nobody reads, and more is known of the peer than it
    /// was called with before.
    #[inline]
    pub(crate) fn new_hangup(&self, h: &Handle<'_>) -> Option<PeerState> {
        if self.duplex.read != ReadState::Paused || self.life != Life::Open {
            return None;
        }
        Some(self.peer_state(h)).filter(|state| *state > self.hangup && self.duplex.is_open())
    }

    /// Reads nothing more. A connection whose writing failed would never get to its
    /// end that way, so it ends now.
    pub(crate) fn pause(&mut self, h: &mut Handle<'_>) {
        if self.life == Life::Refused {
            return;
        }
        if self.duplex.read.is_flowing() {
            self.duplex.read.pause();
            self.tell(h, || SocketEvent::Pause);
        }
        if let Some(failure) = self.take_failure() {
            self.destroy(h, Reason::Failed(failure));
        }
    }

    /// Goes on reading, in a later dispatch.
    pub(crate) fn resume(&mut self, h: &mut Handle<'_>) {
        if self.duplex.read.resume() {
            self.steer_reads();
            self.tell(h, || SocketEvent::Resume);
            self.go_on_reading(h);
        }
    }

    /// What is there to be read is read in a later dispatch.
    pub(crate) fn go_on_reading(&mut self, h: &mut Handle<'_>) {
        let more = h.readiness().has(Readiness::READABLE) || !self.given_back().is_empty();
        if self.duplex.read.is_flowing() && (more || self.has_news() || self.is_fed()) {
            h.queue();
        }
    }
}

/// A protocol that reads itself is called for bytes in the kernel, if nothing is in between.
/// `None`: it is not so.
#[inline(always)]
pub(crate) fn pull(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    index: usize,
    bits: Readiness,
) -> Option<Reads> {
    let s = d.layer(&NET).0.sockets.get_mut(index, key)?;
    let (readable, data) = s.pulls(bits)?;
    s.more = true;
    d.guard(|d| readable(d, key, data), |d| panicked(d, key));
    if let Some(s) = d.layer(&NET).0.sockets.get_mut(index, key) {
        debug_assert!(s.stirred || s.is_quiet());
        // The ordinary end of a request: it was read whole, and the answer is out.
        if !s.stirred && !s.more && d.is_settled() {
            return Some(Reads::Pulled);
        }
    }
    Some(pulled(d, key))
}

/// The same for one that was not seen to read itself before.
#[inline(never)]
fn pull_first(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    index: usize,
    bits: Readiness,
) -> Option<Reads> {
    pull(d, key, index, bits)
}

/// A protocol that reads itself was called, and there may be more to do.
#[inline(never)]
pub(crate) fn pulled(d: &mut Dispatch<'_>, key: SocketKey) -> Reads {
    let (layer, mut driver) = d.layer(&NET);
    let Some(mut h) = driver.handle(&OWNER, key.0) else { return Reads::Done };
    if h.readiness().has(Readiness::READABLE) {
        if let Some(s) = layer.sockets.get_mut(h.data() as usize, key) {
            s.go_on_reading(&mut h);
        }
    }
    d.settle();
    Reads::Done
}

/// Bytes that were given back are delivered; a protocol that reads itself is called. How many
/// bytes were delivered; 0: no more in this dispatch.
#[cold]
#[inline(never)]
fn on_demand(d: &mut Dispatch<'_>, key: SocketKey, buffer: &mut [u8]) -> usize {
    let (layer, mut driver) = d.layer(&NET);
    let Layer { sockets, shared, .. } = layer;
    let Some(h) = driver.handle(&OWNER, key.0) else { return 0 };
    let Some(s) = sockets.get_mut(h.data() as usize, key) else { return 0 };
    s.stirred = true;
    match s.puller() {
        Some((readable, data)) => {
            let kernel = h.readiness().has(Readiness::READABLE) && s.is_readable_now();
            if kernel || !s.given_back().is_empty() || s.is_fed() {
                call_protocol(d, key, |d| readable(d, key, data));
                let (layer, mut driver) = d.layer(&NET);
                if let Some((s, mut h)) = layer.lend_socket(&mut driver, key) {
                    s.go_on_reading(&mut h);
                }
                d.settle();
            }
            settle(d, key);
            0
        }
        None => {
            let n = s.take_given_back(shared, buffer);
            if n > 0 {
                received(d, key, &mut buffer[..n]);
            }
            let (layer, mut driver) = d.layer(&NET);
            let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return 0 };
            if s.given_back().is_empty() {
                return n;
            }
            // Once: the rest, and what is given back by this, is for the next dispatch.
            s.go_on_reading(&mut h);
            0
        }
    }
}

/// The peer's FIN.
#[inline(never)]
fn at_end(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return };
    if let Some(first) = s.take_failure() {
        return s.destroy(&mut h, Reason::Failed(first));
    }
    match s.wire {
        Wire::Plain => ended(d, key),
        Wire::Filter(_) => wire_ended(d, key),
    }
}
