//! What a write queue has to know of bytes that are not in it: a filter in front of it keeps
//! some. They count as held, and the drain and the end wait for them.
#![forbid(unsafe_code)]

use crate::machine::write::{Due, State, WriteState};

/// Memory of a stream that is not in its queue. See [`WriteState::count_beside`].
///
/// ```
/// let none = tidegate_stream::Beside::default();
/// assert_eq!((none.accepted, none.received), (0, 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// Bytes that were accepted for writing and are not queued yet.
    pub accepted: usize,
    /// Bytes that came from the peer and were not delivered yet.
    pub received: usize,
}

// Inputs: what happened.
impl WriteState {
    /// Counts memory beside the queue: it was `before` and is `now`. All of it is
    /// [`held`](Self::held); what was received does not count against the limit of writes.
    ///
    /// ```
    /// use tidegate_stream::{Beside, Refused, WriteState};
    /// let mut w = WriteState::new(4, 8);
    /// w.count_beside(Beside::default(), Beside { accepted: 8, received: 100 });
    /// assert_eq!((w.held(), w.admit()), (108, Ok(())));
    /// w.push(b"tide");
    /// assert!(matches!(w.admit(), Err(Refused::Limit { .. })));
    /// ```
    pub fn count_beside(&mut self, before: Beside, now: Beside) {
        self.held += now.accepted + now.received;
        self.held -= before.accepted + before.received;
        self.limit = self.limit + now.received - before.received;
    }

    /// Whether bytes that were accepted are still to be queued: until then there is no drain
    /// and no end.
    ///
    /// ```
    /// use tidegate_stream::{Effect, WriteState};
    /// let mut w = WriteState::new(4, 1024);
    /// w.hold_back(true);
    /// let _ = w.stop();
    /// assert_eq!(w.take_effect(), None);
    /// w.hold_back(false);
    /// assert_eq!(w.take_effect(), Some(Effect::Drain));
    /// ```
    pub fn hold_back(&mut self, on: bool) {
        self.held_back = on;
        if !on && self.full && self.len == 0 && self.state == State::Open {
            self.full = false;
            self.due = Some(Due::Drain);
        }
    }
}

// Queries: they change nothing.
impl WriteState {
    /// Whether what is queued may still go out: the stream is open, or ends after that.
    pub fn is_sending(&self) -> bool {
        matches!(self.state, State::Open | State::Ending)
    }

    /// Whether all that was accepted is out.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.len == 0 && !self.held_back
    }

    /// Whether writes are held back by [`cork`](Self::cork).
    pub fn is_corked(&self) -> bool {
        self.corked > 0
    }

    /// Queued bytes at which writing should stop.
    pub fn high_water_mark(&self) -> usize {
        self.high_water_mark
    }
}
