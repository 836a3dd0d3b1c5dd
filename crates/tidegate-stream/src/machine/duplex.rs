//! Both halves together: half-open or not, and exactly one terminal event.
//!
//! | outcome | destroy(reason) | take_outcome |
//! |---|---|---|
//! | Open | Decided(reason) | none |
//! | Decided | - (the first reason wins) | the reason, then Told |
//! | Told | - | none |
#![forbid(unsafe_code)]

use crate::machine::read::ReadState;
use crate::machine::write::WriteState;

#[derive(Debug)]
enum Outcome<R> {
    Open,
    Decided(R),
    Told,
}

/// A stream of two halves that ends with one `R`, the reason.
///
/// ```
/// use tidegate_stream::{Duplex, WriteState};
/// let mut d: Duplex<&str> = Duplex::new(WriteState::new(1, 1), false);
/// assert!(d.destroy("reset") && !d.destroy("too late"));
/// assert_eq!(d.take_outcome(), Some("reset"));
/// assert_eq!(d.take_outcome(), None);
/// ```
#[derive(Debug)]
pub struct Duplex<R> {
    /// The reading half.
    pub read: ReadState,
    /// The writing half.
    pub write: WriteState,
    allow_half_open: bool,
    outcome: Outcome<R>,
}

// Inputs: what happened.
impl<R> Duplex<R> {
    /// Open both ways. Unless `allow_half_open`, the peer's end also ends our
    /// side, after what is queued.
    pub fn new(write: WriteState, allow_half_open: bool) -> Duplex<R> {
        Duplex { read: ReadState::Flowing, write, allow_half_open, outcome: Outcome::Open }
    }

    /// Open both ways again, as a new stream in the place of one that is over.
    ///
    /// ```
    /// use tidegate_stream::{Duplex, WriteState};
    /// let mut d: Duplex<&str> = Duplex::new(WriteState::new(1, 1), false);
    /// d.destroy("reset");
    /// d.begin(16, 1024, true);
    /// assert!(d.is_open() && d.write.is_open());
    /// ```
    #[inline]
    pub fn begin(&mut self, high_water_mark: usize, limit: usize, allow_half_open: bool) {
        self.read = ReadState::Flowing;
        self.write = WriteState::new(high_water_mark, limit);
        self.allow_half_open = allow_half_open;
        self.outcome = Outcome::Open;
    }

    /// Whether our side stays open after the peer's end, from here on. Returns what it was.
    ///
    /// ```
    /// use tidegate_stream::{Duplex, WriteState};
    /// let mut d: Duplex<&str> = Duplex::new(WriteState::new(16, 1024), false);
    /// d.read.eof();
    /// assert!(d.ends_with_peer());
    /// assert!(!d.set_allow_half_open(true));
    /// assert!(!d.ends_with_peer());
    /// ```
    pub fn set_allow_half_open(&mut self, on: bool) -> bool {
        std::mem::replace(&mut self.allow_half_open, on)
    }

    /// Ends the stream for this reason. `false` if it was over before.
    pub fn destroy(&mut self, reason: R) -> bool {
        if !self.is_open() {
            return false;
        }
        self.outcome = Outcome::Decided(reason);
        self.read.destroy();
        self.write.destroy();
        true
    }
}

// Queries: they change nothing.
impl<R> Duplex<R> {
    /// Whether it is not over.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.outcome, Outcome::Open)
    }

    /// Whether bytes flow both ways, and there is nothing to send, to report or to end.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.is_open() && self.read.is_flowing() && self.write.is_quiet()
    }

    /// Whether both directions ended by themselves.
    pub fn is_done(&self) -> bool {
        self.read == ReadState::Ended && self.write.is_finished()
    }

    /// Whether our side has to end, too, because the peer's end was read and `allow_half_open` is
    /// not set.
    pub fn ends_with_peer(&self) -> bool {
        self.read == ReadState::Ended && !self.allow_half_open
    }

    /// Why the stream is over, until [`take_outcome`](Self::take_outcome) has taken it.
    pub fn outcome(&self) -> Option<&R> {
        match &self.outcome {
            Outcome::Decided(reason) => Some(reason),
            Outcome::Open | Outcome::Told => None,
        }
    }
}

// Effects: what comes out, once.
impl<R> Duplex<R> {
    /// What is left of the writing half of a stream that is over: bytes and ids that did not get
    /// out. In its place is one that is empty.
    ///
    /// ```
    /// use tidegate_stream::{Duplex, WriteState};
    /// let mut d: Duplex<&str> = Duplex::new(WriteState::new(16, 1024), false);
    /// d.write.push(b"tide");
    /// d.destroy("reset");
    /// assert_eq!((d.take_write().len(), d.write.len()), (4, 0));
    /// ```
    #[inline]
    pub fn take_write(&mut self) -> WriteState {
        std::mem::replace(&mut self.write, WriteState::new(0, 0))
    }

    /// The terminal event, once.
    pub fn take_outcome(&mut self) -> Option<R> {
        if self.is_open() {
            return None;
        }
        match std::mem::replace(&mut self.outcome, Outcome::Told) {
            Outcome::Decided(reason) => Some(reason),
            Outcome::Open | Outcome::Told => None,
        }
    }
}
