//! The writing half: a queue with a high-water mark, a hard limit, gather,
//! cork and an end.
//!
//! | state | push | end | queue empty | fin_sent | fail | destroy |
//! |---|---|---|---|---|---|---|
//! | Open | Open | Ending | Drain, if it was full | - | Failed | Destroyed |
//! | Ending | refused | - | `wants_fin` | Finished | Failed | Destroyed |
//! | Finished | refused | - | - | - | - | Destroyed |
//! | Failed | refused | - | - | - | - | Destroyed |
//! | Destroyed | refused | - | - | - | - | - |
//!
//! A write may carry an id. The driver calls `expect` after its `push`; the effect `Written`
//! names the id when the last byte of the write is out. When the stream is over,
//! `take_expected` names the ids that are left, in order.
//!
//! `push` and `flow` are two calls, so that a driver can try the kernel between them: what
//! the kernel takes at once never counts against the mark (rules W3 and W4 of Node's
//! streams).
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use bytes::Bytes;

use crate::machine::block::{Block, SMALL};
use crate::machine::flow::{Effect, Flow, Refused};
use crate::machine::queued::Queued;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Open,
    Ending,
    Finished,
    Failed,
    Destroyed,
}

/// The writing half of a stream. See the crate's page for an example.
#[derive(Debug)]
pub struct WriteState {
    /// From the first time on that bytes or ids wait.
    pub(super) queued: Option<Box<Queued>>,
    pub(super) high_water_mark: u32,
    limit: u32,
    pub(super) corked: u32,
    pub(super) full: bool,
    pub(super) state: State,
    pub(super) due: Option<Due>,
}

/// What a queue held. See [`WriteState::discard`].
///
/// ```
/// assert!(size_of::<tidegate_stream::Discarded>() > 0);
/// ```
#[derive(Debug)]
pub struct Discarded {
    _queue: VecDeque<Block>,
}

/// The next effect besides completions. The two exclude each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Drain,
    Finish,
}

/// In 32 bits, so that an idle stream is small.
fn at_most_4_gib(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

// Inputs: what happened.
impl WriteState {
    /// `high_water_mark`: writing should stop when this many bytes are queued; at most
    /// `limit`. `limit`: writing is refused while the queue holds more bytes of memory than
    /// this. A `Bytes` counts by its length, even if it is a slice of a larger buffer. Both are
    /// less than 4 GiB; what is more counts as that.
    pub fn new(high_water_mark: usize, limit: usize) -> WriteState {
        WriteState {
            queued: None,
            high_water_mark: at_most_4_gib(high_water_mark.min(limit)),
            limit: at_most_4_gib(limit),
            corked: 0,
            full: false,
            state: State::Open,
            due: None,
        }
    }

    pub(super) fn queue(&mut self) -> &mut Queued {
        self.queued.get_or_insert_default()
    }

    /// When nothing waits any more, gives back the memory of a queue that was long. A short one
    /// is kept: a stream that stalled once will again.
    pub(super) fn tidy(&mut self) {
        if self.queued.as_ref().is_some_and(|q| q.is_empty() && q.was_long()) {
            self.queued = None;
        }
    }

    /// Whether it has neither bytes nor ids.
    #[inline]
    fn has_nothing(&self) -> bool {
        self.queued.as_ref().is_none_or(|q| q.is_empty())
    }

    /// Queues a copy of `data`.
    pub fn push(&mut self, data: &[u8]) {
        if data.len() >= SMALL {
            self.queue().push(Block::Shared(Bytes::copy_from_slice(data)));
        } else if !data.is_empty() {
            let is_corked = self.corked > 0;
            self.queue().append(data, is_corked);
        }
    }

    /// Queues `data`; anything from 1 KiB is not copied.
    pub fn push_bytes(&mut self, data: Bytes) {
        if data.len() >= SMALL {
            self.queue().push(Block::Shared(data));
        } else {
            self.push(&data);
        }
    }

    /// Queues `data` as a separate piece, however small, without a copy. A small piece
    /// counts against the limit with the memory that it costs in addition to its bytes.
    pub fn push_whole(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.queue().push(Block::Shared(data));
        }
    }

    /// Gives this id to the write that was just made. If nothing of that write is queued, it
    /// is out already.
    ///
    /// ```
    /// use tidegate_stream::{Effect, WriteState};
    /// let mut w = WriteState::new(1 << 16, 1 << 20);
    /// w.push(b"tide");
    /// w.expect(7);
    /// w.advance(3);
    /// assert_eq!(w.take_effect(), None);
    /// w.advance(1);
    /// assert_eq!(w.take_effect(), Some(Effect::Written(7)));
    /// ```
    pub fn expect(&mut self, id: u64) {
        self.queue().expect(id);
    }

    /// The driver stops the writer: the answer is `Full`, whatever is queued, and a drain will
    /// follow. [`flow`](Self::flow) only says whether it is time for that, and changes nothing.
    ///
    /// ```
    /// use tidegate_stream::{Effect, Flow, WriteState};
    /// let mut w = WriteState::new(4, 1024);
    /// w.push(b"tide");
    /// assert_eq!((w.flow(), w.needs_drain()), (Flow::Full, false));
    /// assert_eq!((w.stop(), w.needs_drain()), (Flow::Full, true));
    /// w.advance(4);
    /// assert_eq!(w.take_effect(), Some(Effect::Drain));
    /// ```
    pub fn stop(&mut self) -> Flow {
        if self.state != State::Open {
            return Flow::Closed;
        }
        self.full = true;
        if self.is_empty() {
            self.due = Some(Due::Drain);
        }
        Flow::Full
    }

    /// The first `n` queued bytes are out.
    pub fn advance(&mut self, n: usize) {
        let whole = self.queued.as_mut().map_or(0, |q| q.advance(n));
        if self.is_empty() {
            if self.full && self.state == State::Open {
                self.due = Some(Due::Drain);
            }
            self.full = false;
        }
        if let Some(queued) = &mut self.queued {
            queued.drop_first(whole);
            self.tidy();
        }
    }

    /// Holds writes back until [`uncork`](Self::uncork), so that they leave
    /// together. Nests.
    pub fn cork(&mut self) {
        if self.state == State::Open {
            self.corked = self.corked.saturating_add(1);
        }
    }

    /// Takes back one [`cork`](Self::cork); a surplus one does nothing.
    pub fn uncork(&mut self) {
        self.corked = self.corked.saturating_sub(1);
    }

    /// No more writes come; what is queued still goes out. `false` if the stream had ended,
    /// failed or closed before.
    pub fn end(&mut self) -> bool {
        if self.state != State::Open {
            return false;
        }
        self.state = State::Ending;
        self.corked = 0;
        // No drain after the end (W6).
        self.full = false;
        self.due = None;
        true
    }

    /// The end is out.
    pub fn fin_sent(&mut self) {
        if self.wants_fin() {
            self.state = State::Finished;
            self.due = Some(Due::Finish);
        }
    }

    /// Writing broke. What is queued will not go out.
    pub fn fail(&mut self) {
        if matches!(self.state, State::Open | State::Ending) {
            self.state = State::Failed;
            self.due = None;
        }
    }

    /// The stream is over. The queue keeps its bytes, to be counted and then
    /// dropped with the machine.
    pub fn destroy(&mut self) {
        self.state = State::Destroyed;
        self.due = None;
    }
}

// Queries: they change nothing.
impl WriteState {
    /// Whether a write would be accepted now. Ask before [`push`](Self::push).
    #[inline]
    pub fn admit(&self) -> Result<(), Refused> {
        if self.state != State::Open {
            return Err(Refused::Closed);
        }
        if self.is_over_limit() {
            return Err(Refused::Limit { queued: self.accepted(), limit: self.limit() });
        }
        Ok(())
    }

    /// The answer to the write that was just made: by what is queued *now*, after the driver
    /// tried the kernel. A driver that answers [`Flow::Full`] calls [`stop`](Self::stop), so
    /// that a drain comes.
    #[inline]
    pub fn flow(&self) -> Flow {
        if self.state != State::Open {
            return Flow::Closed;
        }
        let Some(queued) = &self.queued else { return Flow::Ready };
        let at_mark = queued.len() >= (self.high_water_mark as usize).max(1);
        // Ids that wait count against the limit, also if nothing is queued.
        if at_mark || self.is_over_limit() { Flow::Full } else { Flow::Ready }
    }

    /// Whether something is queued that may go out now.
    #[inline]
    pub fn wants_write(&self) -> bool {
        !self.is_empty() && self.corked == 0 && matches!(self.state, State::Open | State::Ending)
    }

    /// Whether a write may go to the kernel directly: nothing is queued, and nothing is held
    /// back.
    #[inline]
    pub fn is_direct(&self) -> bool {
        self.is_empty() && self.corked == 0
    }

    /// Whether it is open and holds nothing, neither bytes nor ids nor a cork: the answer to a
    /// write that the kernel takes whole is then [`Flow::Ready`].
    #[inline]
    pub fn is_clear(&self) -> bool {
        self.state == State::Open && self.has_nothing() && self.corked == 0
    }

    /// Fills `out` with what is queued, in order; returns how many slices.
    pub fn gather<'s>(&'s self, out: &mut [&'s [u8]]) -> usize {
        self.queued.as_ref().map_or(0, |q| q.gather(out))
    }

    /// Whether only the end itself is still to go out: then the driver sends its FIN and
    /// calls [`fin_sent`](Self::fin_sent).
    #[inline]
    pub fn wants_fin(&self) -> bool {
        self.state == State::Ending && self.is_flushed()
    }

    /// Whether [`take_effect`](Self::take_effect) has something.
    #[inline]
    pub fn has_effect(&self) -> bool {
        self.due.is_some() || self.is_written()
    }

    fn is_written(&self) -> bool {
        self.state != State::Destroyed && self.next_expected() == Some(true)
    }

    /// Whether the bytes of the next id are out, if an id waits.
    fn next_expected(&self) -> Option<bool> {
        self.queued.as_ref()?.is_next_out()
    }

    fn is_over_limit(&self) -> bool {
        self.accepted() > self.limit as usize
    }

    fn has_room(&self) -> bool {
        self.is_flushed() && !self.is_over_limit()
    }

    /// Whether a drain is still to come: the writer got `Full`.
    pub fn needs_drain(&self) -> bool {
        self.state == State::Open && (self.full || self.due == Some(Due::Drain))
    }

    /// Whether it is open, nothing is queued, and there is no effect.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.state == State::Open && self.due.is_none() && self.has_nothing()
    }

    /// Whether writes are accepted.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the end is out.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether writing failed.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Queued bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.queued.as_ref().map_or(0, |q| q.len())
    }

    /// Whether nothing is queued.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that may be held before a write.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Bytes of memory that the queue and the waiting ids hold.
    #[inline]
    pub fn held(&self) -> usize {
        self.queued.as_ref().map_or(0, |q| q.held())
    }
}

// Effects: what comes out, once.
impl WriteState {
    /// The next effect for the user; each comes once. A drain comes before the completion of the
    /// write that emptied the queue (W5), the finish after all completions (W12).
    pub fn take_effect(&mut self) -> Option<Effect> {
        if self.due == Some(Due::Drain) {
            self.due = None;
            if self.has_room() {
                self.full = false;
                return Some(Effect::Drain);
            }
            // Not empty any more, or ids hold more than the limit: they come first.
            self.full = true;
        }
        if self.is_written() {
            let written = self.take_expected();
            if self.full && self.has_room() && self.state == State::Open {
                self.full = false;
                self.due = Some(Due::Drain);
            }
            return written.map(|(id, _)| Effect::Written(id));
        }
        self.due.take().map(|_| Effect::Finish)
    }

    /// The next id that waits, and whether its bytes are out. Call it for a stream that is
    /// over: then it is the only effect that is left.
    pub fn take_expected(&mut self) -> Option<(u64, bool)> {
        let taken = self.queued.as_mut()?.take_expected();
        self.tidy();
        taken
    }

    /// For a sink that completes later: shares what is queued, in order and at most `pieces`
    /// pieces, and returns how many bytes these are. They stay queued until
    /// [`advance`](Self::advance).
    ///
    /// ```
    /// use tidegate_stream::WriteState;
    /// let mut w = WriteState::new(1 << 16, 1 << 20);
    /// w.push(b"high ");
    /// w.push(b"water");
    /// let mut pieces = Vec::new();
    /// assert_eq!(w.lend(&mut pieces, 64), 10);
    /// assert_eq!((&pieces.concat()[..], w.len()), (&b"high water"[..], 10));
    /// ```
    pub fn lend(&mut self, out: &mut Vec<Bytes>, pieces: usize) -> usize {
        self.queued.as_mut().map_or(0, |q| q.lend(out, pieces))
    }

    /// Gives up the memory of the queue. [`len`](Self::len) still says how many bytes did not
    /// go out. For a stream that is over.
    ///
    /// ```
    /// use tidegate_stream::WriteState;
    /// let mut w = WriteState::new(1 << 16, 1 << 20);
    /// w.push(b"tide");
    /// w.destroy();
    /// drop(w.discard());
    /// assert_eq!((w.len(), w.held()), (4, 0));
    /// ```
    pub fn discard(&mut self) -> Discarded {
        let queue = self.queued.as_mut().map(|q| q.discard()).unwrap_or_default();
        self.tidy();
        Discarded { _queue: queue }
    }
}
