//! A connection whose bytes go through filters: what they made is sent and counted.
//!
//! A run of the filters happens inside of a call of the user's or of a dispatch, and runs no
//! callback. `news.rs` reports what it made to the handler, in a dispatch.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Write};

use tidegate_loop::kind::Handle;
use tidegate_stream::{Beside, Chunk, ReadState};

use crate::callbacks::filter::Filter;
use crate::error::close::{Reason, Scope};
use crate::filter::call::Fault;
use crate::filter::stack::{Failed, Run, Stack};
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::{Crowded, Shared};
use crate::state::socket::{Life, Socket};
use crate::state::wire::Wire;

/// What is received and not delivered may be one read longer than the limit.
const READ: usize = 64 * 1024;

/// What waits for the next write is copied with it, if both together are not longer.
const TOGETHER: usize = 16 * 1024;

/// A buffer of the loop's that grew beyond this is given back.
const KEPT: usize = 256 * 1024;

/// Who caused a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The user: what there is to tell comes in the pending phase.
    User,
    /// The peer, or the loop: `settle` follows.
    Peer,
}

impl Socket {
    /// Runs the filters, if there are any, and sends what they made for the peer. An error
    /// or a panic of a filter is the connection's end; the panic goes on when everything is
    /// whole again.
    #[cold]
    #[inline(never)]
    pub(crate) fn filter(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        by: By,
        f: impl FnOnce(&mut Stack, &mut Run<'_>) -> Result<(), Fault>,
    ) {
        if !self.duplex.is_open() || self.has_failed_filter() {
            return;
        }
        let corked = self.duplex.write.is_corked();
        let (queued, held) = (self.queued(), self.duplex.write.held());
        let before = self.kept();
        let mut wire = std::mem::take(&mut shared.wire);
        let about = h.is_observed().then(|| self.connection());
        shared.passed.of = Some((self.key, about));
        shared.passed.transport = self.transport();
        let Wire::Filter(stack) = &mut self.wire else { return };
        let done = f(stack, &mut Run { out: &mut shared.passed, wire: &mut wire, corked });
        for gone in stack.take_filters(false) {
            h.bury(gone);
        }
        let after = stack.user();
        for event in shared.passed.events.drain(..) {
            h.emit(|| event);
        }
        if let Some(named) = shared.passed.named.take() {
            if done.is_ok() && self.life == Life::Gated && self.server.is_some() {
                self.set_named(h, named);
            }
        }
        match done {
            Err(Fault::Panicked(payload)) => {
                self.destroy(h, Reason::Panicked);
                h.panic_later(payload);
            }
            done => {
                let made = (wire.len() + after).saturating_sub(before);
                if by == By::User || made == 0 || self.may_answer(h, made) {
                    self.send_filtered(h, &wire, by == By::Peer && done.is_ok());
                }
                let (error, kind) = match done {
                    Err(Fault::Refused(e)) => (Some(e), ErrorKind::InvalidData),
                    Err(Fault::Truncated(e)) => (Some(e), ErrorKind::UnexpectedEof),
                    _ => (None, ErrorKind::Other),
                };
                if let Some(error) = error {
                    let failed = Failed { error, otherwise: kind, spoke: !wire.is_empty() };
                    match by == By::Peer && self.delivers() {
                        true => self.fail_later(failed),
                        false => self.refuse(h, shared, failed),
                    }
                }
            }
        }
        give_back(&mut shared.wire, wire);
        for buffer in [&mut shared.passed.up, &mut shared.passed.down] {
            let kept = std::mem::take(buffer);
            give_back(buffer, kept);
        }
        self.count_filters(h);
        if shared.buffered > shared.limits.buffered_limit {
            match by {
                By::User if self.queued() > queued => shared.crowded = Crowded::Write,
                By::Peer if self.duplex.write.held() > held => shared.crowded = Crowded::Answer,
                _ => {}
            }
        }
        if by == By::User && (self.has_news() || self.life == Life::Gated) {
            h.pend();
        }
        if by == By::User && self.duplex.read == ReadState::OnDemand && self.is_fed() {
            h.queue();
        }
    }

    /// What the filters made for the kernel. What comes with the last `ready` may wait for the
    /// first write after it. Nothing goes out once writing has failed.
    fn send_filtered(&mut self, h: &mut Handle<'_>, wire: &[u8], may_wait: bool) {
        let is_gated = self.life == Life::Gated;
        let Wire::Filter(stack) = &mut self.wire else { return };
        if std::mem::take(&mut stack.no_delay) && self.life == Life::Open {
            // A Unix domain socket has none.
            let _ = self.stream.as_ref().map(|s| s.set_nodelay(true));
        }
        let waits = may_wait && is_gated && stack.is_ready() && !stack.ready_told;
        if (waits || !stack.later.is_empty()) && stack.later.len() + wire.len() <= TOGETHER {
            stack.later.extend_from_slice(wire);
            if !waits {
                self.send_later(h);
            }
            return;
        }
        self.send_later(h);
        if !wire.is_empty() && self.duplex.is_open() && self.duplex.write.is_sending() {
            self.send(h, Chunk::Lent(wire));
        }
    }

    /// What waited for a write that did not come.
    #[cold]
    pub(crate) fn send_later(&mut self, h: &mut Handle<'_>) {
        let Wire::Filter(stack) = &mut self.wire else { return };
        let later = std::mem::take(&mut stack.later);
        if !later.is_empty() && self.duplex.is_open() && self.duplex.write.is_sending() {
            self.send(h, Chunk::Lent(&later));
        }
    }

    /// The same, of a connection that is closed now.
    #[inline]
    pub(crate) fn offer_later(&mut self) {
        let Wire::Filter(stack) = &mut self.wire else { return };
        if let (false, Some(mut stream)) = (stack.later.is_empty(), self.stream.as_ref()) {
            // What does not go out now was not in time.
            let _ = stream.write(&std::mem::take(&mut stack.later));
        }
    }

    /// Whether a filter has failed: none is called any more.
    pub(crate) fn has_failed_filter(&self) -> bool {
        let fails = matches!(&self.wire, Wire::Filter(stack) if stack.failed.is_some());
        fails || self.life == Life::Refused
    }

    /// Tells the write queue what the filters keep, and ends what keeps too much.
    pub(crate) fn count_filters(&mut self, h: &mut Handle<'_>) {
        self.pass_ids();
        let write = &mut self.duplex.write;
        let Wire::Filter(stack) = &mut self.wire else { return };
        let now = stack.memory();
        write.count_beside(now);
        if self.life == Life::Refused || stack.failed.is_some() {
            return;
        }
        write.hold_back(stack.holds_back(write.high_water_mark()));
        let limit = write.limit();
        if now.received > limit.saturating_add(READ) {
            let queued = now.received;
            self.destroy(h, Reason::WriteLimit { scope: Scope::Socket, queued, limit });
        }
    }

    /// Ids of writes that have passed all filters wait in the queue to the kernel. Those of
    /// bytes that did not get out are reported at the close.
    fn pass_ids(&mut self) {
        let Wire::Filter(stack) = &mut self.wire else { return };
        // A filter that failed says nothing of what it kept.
        let failed = self.life == Life::Refused || stack.failed.is_some();
        while self.duplex.write.is_sending() && !failed {
            let Some(id) = stack.take_passed() else { return };
            self.duplex.write.expect(id);
        }
    }

    /// The write that was just made has this id.
    pub(crate) fn expect(&mut self, id: u64) {
        let kept = match &mut self.wire {
            Wire::Plain => false,
            Wire::Filter(stack) => stack.expect(id),
        };
        if !kept {
            return self.duplex.write.expect(id);
        }
        self.pass_ids();
        if let Wire::Filter(stack) = &mut self.wire {
            self.duplex.write.count_beside(stack.memory());
        }
    }

    /// Whether filters' answers of so many bytes may be queued. What the user writes has its
    /// limit; answers that wait have another one of the same size.
    fn may_answer(&mut self, h: &mut Handle<'_>, bytes: usize) -> bool {
        if self.queued() == 0 {
            self.forget_answers();
        }
        let before = self.count_answer(bytes) - bytes;
        let (queued, limit) = (self.duplex.write.held(), self.duplex.write.limit());
        if before > limit {
            self.destroy(h, Reason::WriteLimit { scope: Scope::Socket, queued, limit });
            return false;
        }
        true
    }

    /// The queue to the kernel is empty: filters are offered what waits.
    #[cold]
    pub(crate) fn offer_again(&mut self, h: &mut Handle<'_>, shared: &mut Shared) {
        if self.duplex.write.is_empty() && self.duplex.is_open() {
            self.filter(h, shared, By::User, |stack, run| stack.again(run));
        }
    }

    /// A filter nearest to the user. Those of a connection that is made are started.
    pub(crate) fn push_filter(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        filter: Box<dyn Filter>,
    ) {
        if let Wire::Plain = self.wire {
            self.wire = Wire::Filter(Box::default());
        }
        let made = self.life != Life::Connecting;
        // What was given back waits behind the filters, and goes through this one.
        let given_back = self.take_all_given_back(shared);
        if let Wire::Filter(stack) = &mut self.wire {
            stack.inbox.splice(..0, given_back);
            stack.push(filter);
        }
        if made {
            self.filter(h, shared, By::User, |stack, run| stack.start(run));
        }
    }

    /// The filters are ready: the lifetime begins.
    pub(crate) fn start_lifetime(&mut self, h: &Handle<'_>) {
        if let Wire::Filter(stack) = &self.wire {
            self.clocks.set_until(stack.lifetime_ms, as_nanos(h.clock()));
        }
    }

    /// Bytes that were accepted for writing and are not in the kernel.
    pub(crate) fn queued(&self) -> usize {
        self.duplex.write.len() + self.kept()
    }

    /// Of these, those in front of the filters and in them.
    #[inline]
    pub(crate) fn kept(&self) -> usize {
        match &self.wire {
            Wire::Plain => 0,
            Wire::Filter(stack) => stack.user(),
        }
    }

    /// Whether the deadline until its filters are ready is a separate one.
    #[cold]
    pub(crate) fn has_handshake_deadline(&self) -> bool {
        let own = matches!(&self.wire, Wire::Filter(stack) if stack.has_deadline);
        own && self.life == Life::Gated
    }

    /// Writes are not held back any more.
    pub(crate) fn uncork(&mut self, h: &mut Handle<'_>, shared: &mut Shared) {
        self.duplex.write.uncork();
        if !matches!(self.wire, Wire::Plain) {
            self.filter(h, shared, By::User, |stack, run| stack.again(run));
        }
    }

    /// The filters are to look again, in the pending phase.
    pub(crate) fn poke(&mut self, h: &mut Handle<'_>) {
        if let Wire::Filter(stack) = &mut self.wire {
            stack.poked = true;
            h.pend();
        }
    }

    /// The lifetime that begins when the connection is made and its filters are ready.
    pub(crate) fn set_later_lifetime(&mut self, lifetime_ms: u32) {
        if let Some(connecting) = self.connecting_mut() {
            connecting.options.stream.deadlines.lifetime_ms = lifetime_ms;
        }
        if let Wire::Filter(stack) = &mut self.wire {
            stack.lifetime_ms = lifetime_ms;
        }
    }

    pub(crate) fn find_filter<T: Filter>(&mut self) -> Option<&mut T> {
        match &mut self.wire {
            Wire::Plain => None,
            Wire::Filter(stack) => stack.find(),
        }
    }

    /// The filter that is not ready, in its words.
    pub(crate) fn waits_for(&self) -> Option<String> {
        match &self.wire {
            Wire::Plain => None,
            Wire::Filter(stack) => stack.describe(),
        }
    }

    /// Whether the kernel is to be read although the user paused, or sees an end that filters
    /// made: they may need it to get ready, and what comes after that end is discarded.
    #[cold]
    pub(crate) fn filters_read(&self) -> bool {
        let Wire::Filter(stack) = &self.wire else { return false };
        match self.duplex.read {
            _ if self.life == Life::Refused => false,
            ReadState::Paused | ReadState::OnDemand => !stack.is_ready(),
            ReadState::Ended => !stack.fin,
            _ => false,
        }
    }

    /// All filters left, and nothing of theirs is to be told: bytes go directly.
    pub(crate) fn drop_spent(&mut self) {
        if let Wire::Filter(stack) = &mut self.wire {
            if stack.is_spent() && self.duplex.read != ReadState::Ended {
                self.duplex.write.count_beside(Beside::default());
                self.wire = Wire::Plain;
            }
        }
    }

    /// The connection is over: what its filters keep goes in the closing phase, and does not
    /// count any more.
    pub(crate) fn uncount_filters(&mut self) {
        self.duplex.write.count_beside(Beside::default());
    }
}

/// Empties a buffer of the loop's and puts it back, if it is not too large.
pub(super) fn give_back(place: &mut Vec<u8>, mut buffer: Vec<u8>) {
    buffer.clear();
    if buffer.capacity() <= KEPT && buffer.capacity() > place.capacity() {
        *place = buffer;
    }
}
