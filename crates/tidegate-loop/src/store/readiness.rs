//! Sticky readiness bits: what the kernel said, kept until the kernel takes it back.
//!
//! mio announces each thing once (edge-triggered), so the loop remembers it. A bit is set by a
//! kernel event. It is cleared only by an operation that met `WouldBlock`, or by a short read or
//! write where that proves the same ([`Handle::try_read`](crate::kind::Handle::try_read)). Which
//! handles are called is a second question: a handle that a budget stopped is queued again, one
//! that its owner stopped is not. The queues are in `table.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use crate::sys;

/// Readiness of a handle, and the loop's own marks beside it.
///
/// Closed bits are final: a half that was closed never opens again.
///
/// ```
/// use tidegate_loop::event::Readiness;
/// let b = Readiness::READABLE | Readiness::READ_CLOSED;
/// assert!(b.has(Readiness::READABLE) && !b.has(Readiness::WRITABLE));
/// assert_eq!(format!("{b:?}"), "readable|read_closed");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u16);

impl Readiness {
    /// Nothing known.
    pub const NONE: Readiness = Readiness(0);
    /// A read may find something (bytes, the end, or an error).
    pub const READABLE: Readiness = Readiness(1);
    /// A write may find room.
    pub const WRITABLE: Readiness = Readiness(1 << 1);
    /// The peer sent FIN, or the connection is gone. Final.
    pub const READ_CLOSED: Readiness = Readiness(1 << 2);
    /// Nothing written will arrive any more. Final.
    pub const WRITE_CLOSED: Readiness = Readiness(1 << 3);
    /// The descriptor has an error to fetch. Final.
    pub const ERROR: Readiness = Readiness(1 << 4);
    /// Urgent data came: a read stops short at its mark, and more may follow.
    pub const PRIORITY: Readiness = Readiness(1 << 5);
    /// A short read proves nothing: the kernel may stop one before its last byte. Set by
    /// the owner of the handle, for a Unix domain socket. Final.
    pub const SHORT_READS: Readiness = Readiness(1 << 6);
    pub(crate) const QUEUED: Readiness = Readiness(1 << 7);
    pub(crate) const PENDING: Readiness = Readiness(1 << 8);
    pub(crate) const CLOSING: Readiness = Readiness(1 << 9);
    pub(crate) const REFERENCED: Readiness = Readiness(1 << 10);
    pub(crate) const BUSY: Readiness = Readiness(1 << 11);
    /// The loop's own handle.
    pub(crate) const INTERNAL: Readiness = Readiness(1 << 12);
    /// It was not called yet.
    pub(crate) const FRESH: Readiness = Readiness(1 << 13);
    /// There is no handle in the row.
    pub(crate) const VACANT: Readiness = Readiness(1 << 14);
    /// Either keeps the loop alive.
    pub(crate) const ALIVE: Readiness = Readiness(Readiness::REFERENCED.0 | Readiness::BUSY.0);

    /// Whether any bit of `other` is set.
    #[inline]
    pub fn has(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a read that brought less than it asked for has taken all that the kernel had: not
    /// everywhere, and not if an end, an error or urgent data was announced.
    ///
    /// ```
    /// use tidegate_loop::event::Readiness;
    /// assert!(!(Readiness::READABLE | Readiness::READ_CLOSED).short_read_drains());
    /// ```
    #[inline]
    pub fn short_read_drains(self) -> bool {
        const PROVES_NOTHING: Readiness = Readiness::READ_CLOSED
            .with(Readiness::ERROR)
            .with(Readiness::PRIORITY)
            .with(Readiness::SHORT_READS);
        sys::SHORT_READ_DRAINS && !self.has(PROVES_NOTHING)
    }

    pub(crate) const fn with(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// Without the loop's own marks.
    #[inline]
    pub(crate) fn readiness(self) -> Readiness {
        Readiness(self.0 & (Readiness::QUEUED.0 - 1))
    }

    /// Whether a handle with these keeps the loop alive. One that is queued although the
    /// kernel said nothing of it has work of its owner's to do. One that is only ready does
    /// not: it could stay so for ever.
    pub(crate) fn keep_alive(self) -> bool {
        let has_work = self.has(Readiness::QUEUED) && self.readiness() == Readiness::NONE;
        (has_work || self.has(Readiness::ALIVE | Readiness::CLOSING | Readiness::PENDING))
            && !self.has(Readiness::INTERNAL)
    }

    #[inline]
    pub(crate) fn clear(&mut self, other: Readiness) {
        self.0 &= !other.0;
    }

    /// What one event of mio says. A closed or failed half counts as ready: the
    /// next operation on it returns at once, and says why.
    #[inline(always)]
    pub(crate) fn of(event: &mio::event::Event) -> Readiness {
        let (error, priority) = (event.is_error(), event.is_priority());
        let closed = event.is_read_closed() || event.is_write_closed();
        if error || priority || closed {
            return Readiness::of_rare(event);
        }
        let mut bits = Readiness::NONE;
        if event.is_readable() {
            bits |= Readiness::READABLE;
        }
        if event.is_writable() {
            bits |= Readiness::WRITABLE;
        }
        bits
    }

    /// The same for one that says more than that bytes can move.
    #[cold]
    fn of_rare(event: &mio::event::Event) -> Readiness {
        let mut bits = Readiness::NONE;
        let error = sys::is_error(event);
        if error {
            bits |= Readiness::ERROR;
        }
        if event.is_read_closed() {
            bits |= Readiness::READ_CLOSED | Readiness::READABLE;
        }
        if sys::is_write_closed(event) {
            bits |= Readiness::WRITE_CLOSED | Readiness::WRITABLE;
        }
        if event.is_priority() {
            bits |= Readiness::PRIORITY | Readiness::READABLE;
        }
        if event.is_readable() || error {
            bits |= Readiness::READABLE;
        }
        if event.is_writable() || error {
            bits |= Readiness::WRITABLE;
        }
        bits
    }
}

impl BitOr for Readiness {
    type Output = Readiness;
    #[inline]
    fn bitor(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    #[inline]
    fn bitor_assign(&mut self, other: Readiness) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Readiness::READABLE, "readable"),
            (Readiness::WRITABLE, "writable"),
            (Readiness::READ_CLOSED, "read_closed"),
            (Readiness::WRITE_CLOSED, "write_closed"),
            (Readiness::ERROR, "error"),
            (Readiness::PRIORITY, "priority"),
            (Readiness::SHORT_READS, "short_reads"),
            (Readiness::QUEUED, "queued"),
            (Readiness::PENDING, "pending"),
            (Readiness::CLOSING, "closing"),
            (Readiness::REFERENCED, "referenced"),
            (Readiness::BUSY, "busy"),
            (Readiness::INTERNAL, "internal"),
            (Readiness::FRESH, "fresh"),
            (Readiness::VACANT, "vacant"),
        ];
        let mut first = true;
        for (bit, name) in names {
            if self.has(bit) {
                f.write_str(if first { "" } else { "|" })?;
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}
