//! [`Owed`]: what is to be called soon for a connection. Effects of its writes are in its write
//! queue.
#![forbid(unsafe_code)]

/// What is to be called soon, besides effects of the write queue: bits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owed(u8);

impl Owed {
    /// Its server shuts down.
    pub(crate) const SHUTDOWN: Owed = Owed(1);
    /// Room for a write that the caller made itself, as soon as there is some.
    pub(crate) const ROOM: Owed = Owed(2);
    /// Its protocol asked for a call.
    pub(crate) const WAKE: Owed = Owed(4);

    /// A timer that tries a write again, for which the kernel had no memory.
    pub(crate) const RETRY: Owed = Owed(8);
    /// It is there.
    pub(crate) const RETRYING: Owed = Owed(16);

    pub(crate) fn add(&mut self, what: Owed) {
        self.0 |= what.0;
    }

    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, what: Owed) -> bool {
        self.0 & what.0 != 0
    }

    /// Whether it was owed; it is not any more.
    pub(crate) fn take(&mut self, what: Owed) -> bool {
        let had = self.has(what);
        self.0 &= !what.0;
        had
    }
}
