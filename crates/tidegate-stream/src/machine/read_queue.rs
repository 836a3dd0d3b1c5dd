//! [`ReadQueue`]: a [`ReadState`] with a queue, for bytes that come from a user's source.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::machine::flow::{Flow, Refused};
use crate::machine::read::ReadState;

/// What the source of a [`ReadQueue`] was asked, and what it answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Input {
    Idle,
    Asked,
    AtEnd,
}

/// A reading half whose bytes come from a user's source: they wait here until they are taken.
///
/// | source | ask | push | eof |
/// |---|---|---|---|
/// | Idle | Asked | Idle | AtEnd |
/// | Asked | - | Idle | AtEnd |
/// | AtEnd | - | refused | - |
///
/// While its [`ReadState`] is `Flowing`, bytes are handed on as they come; after
/// [`set_pulled`](ReadQueue::set_pulled), they wait until [`read`](ReadQueue::read) takes
/// them. The end comes only after the last byte was taken.
///
/// ```
/// use bytes::Bytes;
/// use tidegate_stream::{Flow, ReadQueue};
/// let mut r = ReadQueue::new(8, 1 << 20);
/// assert!(r.ask()); // nothing waits: the source is to be asked, once
/// assert_eq!(r.push(Bytes::from("high water")), Ok(Flow::Full));
/// r.eof();
/// assert!(!r.take_end(), "the bytes come first");
/// assert_eq!(r.take().unwrap(), "high water");
/// assert!(r.take_end() && !r.take_end());
/// ```
#[derive(Debug)]
pub struct ReadQueue {
    state: ReadState,
    input: Input,
    chunks: VecDeque<Bytes>,
    len: usize,
    high_water_mark: usize,
    limit: usize,
    pulled: Pulled,
}

/// Whether bytes are taken by `read`, and whether there is news for the one that reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pulled {
    No,
    Quiet,
    News,
}

// Inputs: what happened.
impl ReadQueue {
    /// `high_water_mark`: the source is not asked any more when this many bytes wait.
    /// `limit`: a push is refused while more bytes than this wait.
    pub fn new(high_water_mark: usize, limit: usize) -> ReadQueue {
        ReadQueue {
            state: ReadState::Flowing,
            input: Input::Idle,
            chunks: VecDeque::new(),
            len: 0,
            high_water_mark: high_water_mark.min(limit),
            limit,
            pulled: Pulled::No,
        }
    }

    /// Bytes are taken by [`read`](ReadQueue::read) (true), or handed on (false).
    pub fn set_pulled(&mut self, pulled: bool) {
        self.pulled = match (pulled, self.len > 0 || self.input == Input::AtEnd) {
            (false, _) => Pulled::No,
            (true, false) => Pulled::Quiet,
            (true, true) => Pulled::News,
        };
    }

    /// Stores what the source gave. The answer depends on what waits now. After the end it is
    /// `Closed`, and nothing is stored.
    pub fn push(&mut self, chunk: Bytes) -> Result<Flow, Refused> {
        if self.input == Input::AtEnd || self.state == ReadState::Destroyed {
            return Ok(Flow::Closed);
        }
        if self.len > self.limit {
            return Err(Refused::Limit { queued: self.len, limit: self.limit });
        }
        self.input = Input::Idle;
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk);
            self.tell();
        }
        Ok(self.flow())
    }

    /// Puts bytes back in front. `false`, and nothing is stored, after the end was reported or
    /// while more bytes than the limit wait.
    pub fn unshift(&mut self, chunk: Bytes) -> bool {
        let open = matches!(self.state, ReadState::Flowing | ReadState::Paused);
        let stored = open && self.len <= self.limit;
        if stored && !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_front(chunk);
            self.tell();
        }
        stored
    }

    fn tell(&mut self) {
        if self.pulled == Pulled::Quiet {
            self.pulled = Pulled::News;
        }
    }

    /// The source has no more.
    pub fn eof(&mut self) {
        if self.input != Input::AtEnd {
            self.input = Input::AtEnd;
            self.tell();
        }
    }

    /// Stops handing bytes on and asking the source, at once.
    pub fn pause(&mut self) {
        self.state.pause();
    }

    /// Goes on. `true` if it was paused.
    pub fn resume(&mut self) -> bool {
        self.state.resume()
    }

    /// The stream is over: what waits is not handed on any more, and is dropped with the
    /// machine.
    pub fn destroy(&mut self) {
        self.state.destroy();
    }
}

// Queries: they change nothing.
impl ReadQueue {
    fn flow(&self) -> Flow {
        if self.len == 0 || self.len < self.high_water_mark { Flow::Ready } else { Flow::Full }
    }

    /// Whether [`ask`](ReadQueue::ask) would say yes.
    pub fn would_ask(&self) -> bool {
        let room = self.len < self.high_water_mark || self.len == 0;
        room && self.state.wants_read() && self.input == Input::Idle
    }

    /// Whether there is anything to do: bytes or the end to deliver, the source to ask, or the
    /// stream to close.
    pub fn is_due(&self) -> bool {
        match self.state {
            ReadState::Flowing => {
                self.pulled == Pulled::News
                    || self.pulled == Pulled::No && self.len > 0
                    || self.input == Input::AtEnd && self.len == 0
                    || self.would_ask()
            }
            ReadState::Ended => true,
            _ => false,
        }
    }

    /// Where the reading half stands.
    pub fn state(&self) -> ReadState {
        self.state
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that may wait.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

// Effects: what comes out, once.
impl ReadQueue {
    /// Whether to ask the source for more, now and once: there is room, it was not asked
    /// already, and the bytes are wanted. With a mark of 0 nothing is read ahead: it is asked
    /// only if nothing waits. The answer is a push or the end.
    pub fn ask(&mut self) -> bool {
        let wanted = self.would_ask();
        if wanted {
            self.input = Input::Asked;
        }
        wanted
    }

    /// The next chunk to hand on: none while paused, or pulled.
    pub fn take(&mut self) -> Option<Bytes> {
        if !self.state.wants_read() || self.pulled != Pulled::No {
            return None;
        }
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len();
        Some(chunk)
    }

    /// Takes exactly `n` bytes, or at the end whatever is left; `None` if fewer wait. An `n` above
    /// the high-water mark raises the mark to the next power of two, so that `n` bytes can come;
    /// more than [`limit`](ReadQueue::limit) can never come. Works while paused, but then the
    /// source is not asked for more.
    pub fn read(&mut self, n: usize) -> Option<Bytes> {
        if n > self.high_water_mark {
            self.high_water_mark = n.checked_next_power_of_two().unwrap_or(n).min(self.limit);
        }
        let n = if self.input == Input::AtEnd { n.min(self.len) } else { n };
        if n == 0 || n > self.len || self.state == ReadState::Destroyed {
            return None;
        }
        self.len -= n;
        let mut first = self.chunks.pop_front()?;
        if first.len() >= n {
            let taken = first.split_to(n);
            if !first.is_empty() {
                self.chunks.push_front(first);
            }
            return Some(taken);
        }
        let mut joined = BytesMut::with_capacity(n);
        joined.extend_from_slice(&first);
        while let Some(mut chunk) = self.chunks.pop_front() {
            joined.extend_from_slice(&chunk.split_to(chunk.len().min(n - joined.len())));
            if !chunk.is_empty() {
                self.chunks.push_front(chunk);
                break;
            }
        }
        Some(joined.freeze())
    }

    /// All that waits, in one piece.
    pub fn read_all(&mut self) -> Option<Bytes> {
        self.read(self.len)
    }

    /// Whether there is news for a reader that pulls: new bytes, or the end. Each is reported once.
    pub fn take_news(&mut self) -> bool {
        let news = self.pulled == Pulled::News && self.state == ReadState::Flowing;
        if news {
            self.pulled = Pulled::Quiet;
        }
        news
    }

    /// Whether to report the end: the source has ended, and every byte was taken. `true` once, and
    /// not while paused.
    pub fn take_end(&mut self) -> bool {
        self.input == Input::AtEnd
            && self.len == 0
            && self.state == ReadState::Flowing
            && self.pulled != Pulled::News
            && self.state.eof()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Ask,
        Push(usize),
        Unshift(usize),
        Take,
        Read(usize),
        ReadAll,
        Pause,
        Resume,
        Eof,
        End,
        Destroy,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0usize..40).prop_map(Op::Push),
            2 => (0usize..9).prop_map(Op::Unshift),
            4 => Just(Op::Take),
            4 => (0usize..60).prop_map(Op::Read),
            1 => Just(Op::ReadAll),
            3 => Just(Op::Ask),
            1 => Just(Op::Pause),
            2 => Just(Op::Resume),
            1 => Just(Op::Eof),
            3 => Just(Op::End),
            1 => prop::bool::weighted(0.1).prop_map(|d| if d { Op::Destroy } else { Op::Take }),
        ]
    }

    proptest! {
        /// Against a plain vector: what is taken is what was pushed, in order; the source
        /// is asked once until it answers; one end, after the last byte; nothing after it.
        #[test]
        fn read_queue_against_a_vector(
            pulled: bool, limit in 50usize..100, ops in prop::collection::vec(op(), 0..200),
        ) {
            let mut r = ReadQueue::new(16, limit);
            r.set_pulled(pulled);
            let (mut model, mut next) = (Vec::<u8>::new(), 0u8);
            let (mut asked, mut eof, mut paused, mut ended, mut dead) = (false, false, false, false, false);
            for op in ops {
                match op {
                    Op::Push(n) | Op::Unshift(n) => {
                        let data: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                        if matches!(op, Op::Push(_)) {
                            let (over, before) = (eof || dead, model.len());
                            match r.push(data.clone().into()) {
                                Ok(Flow::Closed) => prop_assert!(over),
                                Ok(flow) => {
                                    prop_assert!(!over && before <= limit);
                                    model.extend(data);
                                    prop_assert_eq!(flow == Flow::Full, model.len() >= 16 && r.flow() == Flow::Full);
                                    asked = false;
                                }
                                Err(_) => prop_assert!(!over && before > limit),
                            }
                        } else if r.unshift(data.clone().into()) {
                            prop_assert!(!ended && !dead);
                            model.splice(..0, data);
                        } else {
                            prop_assert!(ended || dead || model.len() > limit);
                        }
                    }
                    Op::Take => match r.take() {
                        Some(chunk) => {
                            prop_assert!(!pulled && !paused && !dead && !chunk.is_empty());
                            let taken: Vec<u8> = model.drain(..chunk.len()).collect();
                            prop_assert_eq!(&chunk[..], &taken[..]);
                        }
                        None => prop_assert!(pulled || paused || dead || model.is_empty()),
                    },
                    Op::Read(n) => match r.read(n) {
                        Some(bytes) => {
                            prop_assert!(!dead && (bytes.len() == n || eof && model.len() == bytes.len()));
                            let taken: Vec<u8> = model.drain(..bytes.len()).collect();
                            prop_assert_eq!(&bytes[..], &taken[..]);
                        }
                        None => prop_assert!(dead || n == 0 || model.is_empty() || !eof && n > model.len()),
                    },
                    Op::ReadAll => match r.read_all() {
                        Some(bytes) => prop_assert_eq!(&bytes[..], &std::mem::take(&mut model)[..]),
                        None => prop_assert!(dead || model.is_empty()),
                    },
                    Op::Ask => if r.ask() {
                        prop_assert!(!asked && !eof && !paused && !dead);
                        asked = true;
                    },
                    Op::Pause => { r.pause(); paused |= !ended }
                    Op::Resume => { prop_assert_eq!(r.resume(), paused && !dead); paused = false }
                    Op::Eof => { r.eof(); eof = true }
                    Op::End => {
                        r.take_news();
                        if r.take_end() {
                            prop_assert!(eof && model.is_empty() && !paused && !ended && !dead);
                            ended = true;
                        }
                    }
                    Op::Destroy => { r.destroy(); dead = true; model.clear() }
                }
                prop_assert!(dead || r.len() == model.len());
                // By one push, and what was put back.
                prop_assert!(r.len() <= limit + 40 + 200 * 8);
            }
        }
    }
}
