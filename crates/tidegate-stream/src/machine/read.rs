//! The reading half: flowing, paused, or at its end.
//!
//! | state | pause | resume | set_on_demand | eof | destroy |
//! |---|---|---|---|---|---|
//! | Flowing | Paused | - | OnDemand, if on | Ended | Destroyed |
//! | OnDemand | Paused | - | Flowing, if off | Ended | Destroyed |
//! | Paused | - | Flowing | - | Ended | Destroyed |
//! | Ended | - | - | - | - | Destroyed; by `step_back`: Flowing |
//! | Destroyed | - | - | - | - | - |
//!
//! A paused stream reads nothing: the kernel's buffer and the peer's window hold the bytes,
//! this side holds none. For bytes that come from a user's source instead of the kernel,
//! `read_queue.rs` adds a queue to this state.
#![forbid(unsafe_code)]

/// The reading half of a stream.
///
/// ```
/// use tidegate_stream::ReadState;
/// let mut r = ReadState::Flowing;
/// r.pause();
/// assert!(!r.wants_read());
/// r.resume();
/// assert!(r.wants_read() && r.eof() && !r.eof());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadState {
    /// Bytes are delivered as they come.
    Flowing,
    /// Bytes are wanted, but not by a plain read: the reader takes them itself, or some were
    /// given back and come first.
    OnDemand,
    /// Nothing is read until `resume`.
    Paused,
    /// The end was read.
    Ended,
    /// Over.
    Destroyed,
}

impl ReadState {
    /// Stops reading, at once.
    pub fn pause(&mut self) {
        if self.is_flowing() {
            *self = ReadState::Paused;
        }
    }

    /// Goes on reading. `true` if it was paused.
    pub fn resume(&mut self) -> bool {
        let paused = *self == ReadState::Paused;
        if paused {
            *self = ReadState::Flowing;
        }
        paused
    }

    /// From now on the driver reads on demand, or by itself again. Nothing changes unless bytes
    /// flow.
    ///
    /// ```
    /// use tidegate_stream::ReadState;
    /// let mut r = ReadState::Flowing;
    /// r.set_on_demand(true);
    /// assert!(r.is_flowing() && !r.wants_read());
    /// ```
    pub fn set_on_demand(&mut self, on: bool) {
        if self.is_flowing() {
            *self = if on { ReadState::OnDemand } else { ReadState::Flowing };
        }
    }

    /// The end was read; `true` the first time.
    pub fn eof(&mut self) -> bool {
        let first = self.is_flowing() || *self == ReadState::Paused;
        if first {
            *self = ReadState::Ended;
        }
        first
    }

    /// Goes back in front of the end: bytes that were read are to be read again, and the end after
    /// them.
    ///
    /// ```
    /// use tidegate_stream::ReadState;
    /// let mut r = ReadState::Flowing;
    /// assert!(r.eof());
    /// r.step_back();
    /// assert!(r.wants_read() && r.eof());
    /// ```
    pub fn step_back(&mut self) {
        if *self == ReadState::Ended {
            *self = ReadState::Flowing;
        }
    }

    /// Over.
    pub fn destroy(&mut self) {
        *self = ReadState::Destroyed;
    }

    /// Whether the driver should read by itself.
    #[inline]
    pub fn wants_read(self) -> bool {
        self == ReadState::Flowing
    }

    /// Whether bytes are wanted, in whatever way.
    #[inline]
    pub fn is_flowing(self) -> bool {
        matches!(self, ReadState::Flowing | ReadState::OnDemand)
    }
}
