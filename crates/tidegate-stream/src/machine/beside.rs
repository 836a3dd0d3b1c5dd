//! What a write queue has to know of bytes that are not in it: a filter in front of it keeps
//! some. They count as held, and the drain and the end wait for them.
#![forbid(unsafe_code)]

use crate::machine::queued::Beside;
use crate::machine::write::{Due, State, WriteState};

// Inputs: what happened.
impl WriteState {
    /// Counts memory beside the queue: it is so much now. All of it is [`held`](Self::held);
    /// what was received does not count against the limit of writes.
    ///
    /// ```
    /// use tidegate_stream::{Beside, Refused, WriteState};
    /// let mut w = WriteState::new(4, 8);
    /// w.count_beside(Beside { accepted: 8, received: 100 });
    /// assert_eq!((w.held(), w.admit()), (108, Ok(())));
    /// w.count_beside(Beside { accepted: 9, received: 100 });
    /// assert_eq!(w.admit(), Err(Refused::Limit { queued: 9, limit: 8 }));
    /// ```
    pub fn count_beside(&mut self, now: Beside) {
        if self.beside() != now {
            self.queue().beside = now;
            self.tidy();
        }
    }

    /// Gives the stream, which is over, the id of a write that never got to the queue.
    ///
    /// ```
    /// use tidegate_stream::WriteState;
    /// let mut w = WriteState::new(4, 1024);
    /// w.destroy();
    /// w.expect_never(7);
    /// assert_eq!(w.take_expected(), Some((7, false)));
    /// ```
    pub fn expect_never(&mut self, id: u64) {
        self.queue().expect_never(id);
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
        if on || !self.is_flushed() {
            self.queue().held_back = on;
        }
        if !on && self.full && self.is_empty() && self.state == State::Open {
            self.full = false;
            self.due = Some(Due::Drain);
        }
    }
}

// Queries: they change nothing.
impl WriteState {
    /// Memory beside the queue.
    pub fn beside(&self) -> Beside {
        self.queued.as_ref().map_or_else(Beside::default, |q| q.beside)
    }

    /// Bytes of memory that count against the limit.
    #[inline]
    pub(super) fn accepted(&self) -> usize {
        self.queued.as_ref().map_or(0, |q| q.accepted())
    }

    /// Whether all that was accepted is out.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.is_empty() && self.queued.as_ref().is_none_or(|q| !q.held_back)
    }

    /// Whether what is queued may still go out: the stream is open, or ends after that.
    pub fn is_sending(&self) -> bool {
        matches!(self.state, State::Open | State::Ending)
    }

    /// Whether writes are held back by [`cork`](Self::cork).
    pub fn is_corked(&self) -> bool {
        self.corked > 0
    }

    /// Queued bytes at which writing should stop.
    pub fn high_water_mark(&self) -> usize {
        self.high_water_mark as usize
    }
}
