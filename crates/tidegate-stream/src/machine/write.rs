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

use crate::machine::block::{Block, SMALL, TAIL};
use crate::machine::flow::{Effect, Flow, Refused};

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
    queue: VecDeque<Block>,
    /// Bytes of the first block that are out already.
    sent: usize,
    pub(super) len: usize,
    pub(super) held: usize,
    pub(super) high_water_mark: usize,
    pub(super) limit: usize,
    pub(super) corked: u32,
    pub(super) full: bool,
    pub(super) held_back: bool,
    pub(super) state: State,
    pub(super) due: Option<Due>,
    /// Bytes that have left the queue, in total.
    out: u64,
    /// Ids that wait, each with the number of bytes that must be out before it. Few streams
    /// have any.
    expected: Option<Box<Expected>>,
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

#[derive(Debug, Default)]
struct Expected(VecDeque<(u64, u64)>);

/// What is to be told besides completions. The two exclude each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Drain,
    Finish,
}

/// Memory that a waiting id costs.
const EXPECTED_SIZE: usize = size_of::<(u64, u64)>();

// Inputs: what happened.
impl WriteState {
    /// `high_water_mark`: writing should stop when this many bytes are queued; at most
    /// `limit`. `limit`: writing is refused while the queue holds more bytes of memory than
    /// this. A `Bytes` counts by its length, even if it is a slice of a larger buffer.
    pub fn new(high_water_mark: usize, limit: usize) -> WriteState {
        let limit = limit.min(usize::MAX / 2);
        WriteState {
            queue: VecDeque::new(),
            sent: 0,
            len: 0,
            held: 0,
            high_water_mark: high_water_mark.min(limit),
            limit,
            corked: 0,
            full: false,
            held_back: false,
            state: State::Open,
            due: None,
            out: 0,
            expected: None,
        }
    }

    /// Queues a copy of `data`.
    pub fn push(&mut self, data: &[u8]) {
        if data.len() >= SMALL {
            self.push_block(Block::Shared(Bytes::copy_from_slice(data)));
        } else if !data.is_empty() {
            self.append(data);
        }
    }

    /// Queues `data`; anything from 1 KiB is not copied.
    pub fn push_bytes(&mut self, data: Bytes) {
        if data.len() >= SMALL {
            self.push_block(Block::Shared(data));
        } else {
            self.push(&data);
        }
    }

    /// Queues `data` as a piece of its own, however small, without a copy. A small piece
    /// counts against the limit with the memory that it costs in addition to its bytes.
    pub fn push_whole(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.push_block(Block::Shared(data));
        }
    }

    fn push_block(&mut self, block: Block) {
        self.len += block.bytes().len();
        self.held += block.held();
        self.queue.push_back(block);
    }

    fn append(&mut self, data: &[u8]) {
        match self.queue.back_mut() {
            Some(Block::Tail(v)) if v.len() + data.len() <= TAIL => {
                let before = v.capacity();
                if before - v.len() < data.len() {
                    v.reserve_exact((before * 2).clamp(data.len(), TAIL - v.len()));
                }
                v.extend_from_slice(data);
                self.held += v.capacity() - before;
                self.len += data.len();
            }
            _ => self.push_block(Block::Tail(data.to_vec())),
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
        self.held += EXPECTED_SIZE;
        let end = self.out + self.len as u64;
        self.expected.get_or_insert_default().0.push_back((end, id));
    }

    /// The driver tells the writer to stop, whatever is queued: a drain will follow.
    /// [`flow`](Self::flow) only says whether it is time for that, and changes nothing.
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
        if self.len == 0 {
            self.due = Some(Due::Drain);
        }
        Flow::Full
    }

    /// The first `n` queued bytes are out.
    pub fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.len, "more was sent than was queued");
        let n = n.min(self.len);
        self.len -= n;
        self.out += n as u64;
        self.sent += n;
        while let Some(first) = self.queue.front() {
            let size = first.bytes().len();
            if self.sent < size {
                break;
            }
            self.sent -= size;
            self.held -= first.held();
            self.queue.pop_front();
        }
        if self.len == 0 {
            self.sent = 0;
            if self.full && self.state == State::Open {
                self.due = Some(Due::Drain);
            }
            self.full = false;
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
        if self.held > self.limit {
            return Err(Refused::Limit { queued: self.held, limit: self.limit });
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
        if self.held == 0 {
            return Flow::Ready;
        }
        let at_mark = self.len > 0 && self.len >= self.high_water_mark;
        // Ids that wait count against the limit, also if nothing is queued.
        if at_mark || self.held > self.limit { Flow::Full } else { Flow::Ready }
    }

    /// Whether something is queued that may go out now.
    #[inline]
    pub fn wants_write(&self) -> bool {
        self.len > 0 && self.corked == 0 && matches!(self.state, State::Open | State::Ending)
    }

    /// Whether a write may go to the kernel directly: nothing is queued, and nothing is held
    /// back.
    #[inline]
    pub fn is_direct(&self) -> bool {
        self.len == 0 && self.corked == 0
    }

    /// Whether it is open and holds nothing, neither bytes nor ids nor a cork: the answer to a
    /// write that the kernel takes whole is then [`Flow::Ready`].
    #[inline]
    pub fn is_clear(&self) -> bool {
        self.state == State::Open && self.held == 0 && self.corked == 0
    }

    /// Fills `out` with what is queued, in order; returns how many slices.
    pub fn gather<'s>(&'s self, out: &mut [&'s [u8]]) -> usize {
        let mut skip = self.sent;
        let mut n = 0;
        for (block, slot) in self.queue.iter().zip(out.iter_mut()) {
            *slot = &block.bytes()[skip..];
            skip = 0;
            n += 1;
        }
        n
    }

    /// Whether only the end itself is still to go out: then the driver sends its FIN and
    /// calls [`fin_sent`](Self::fin_sent).
    #[inline]
    pub fn wants_fin(&self) -> bool {
        self.state == State::Ending && self.len == 0 && !self.held_back
    }

    /// Whether [`take_effect`](Self::take_effect) has something.
    #[inline]
    pub fn has_effect(&self) -> bool {
        self.due.is_some() || self.is_written()
    }

    fn is_written(&self) -> bool {
        self.state != State::Destroyed
            && self.next_expected().is_some_and(|(end, _)| *end <= self.out)
    }

    fn next_expected(&self) -> Option<&(u64, u64)> {
        self.expected.as_ref()?.0.front()
    }

    fn has_room(&self) -> bool {
        self.len == 0 && self.held <= self.limit && !self.held_back
    }

    /// Whether a drain is still to come: the writer was told to stop.
    pub fn needs_drain(&self) -> bool {
        self.state == State::Open && (self.full || self.due == Some(Due::Drain))
    }

    /// Whether it is open, nothing is queued, and nothing is to be told.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.state == State::Open
            && self.len == 0
            && self.due.is_none()
            && self.next_expected().is_none()
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
        self.len
    }

    /// Whether nothing is queued.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that may be held before a write.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes of memory that the queue and the waiting ids hold.
    #[inline]
    pub fn held(&self) -> usize {
        self.held
    }
}

// Effects: what comes out, once.
impl WriteState {
    /// The next effect to tell the user; each comes once. A drain comes before the completion
    /// of the write that emptied the queue (W5), the finish after all completions (W12).
    pub fn take_effect(&mut self) -> Option<Effect> {
        if self.due == Some(Due::Drain) {
            self.due = None;
            if self.has_room() {
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
        let (end, id) = self.expected.as_mut()?.0.pop_front()?;
        self.held -= EXPECTED_SIZE;
        Some((id, end <= self.out))
    }

    /// For a sink that takes its time: shares what is queued, in order and at most `pieces`
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
        let mut skip = self.sent;
        let mut bytes = 0;
        for block in self.queue.iter_mut().take(pieces) {
            self.held -= block.held();
            let piece = block.share();
            self.held += block.held();
            let piece = piece.slice(skip..);
            skip = 0;
            bytes += piece.len();
            out.push(piece);
        }
        bytes
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
        let freed: usize = self.queue.iter().map(Block::held).sum();
        self.held -= freed;
        self.sent = 0;
        Discarded { _queue: std::mem::take(&mut self.queue) }
    }
}
