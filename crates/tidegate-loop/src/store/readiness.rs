//! Sticky readiness bits: what the kernel said, kept until the kernel takes it back.
//!
//! mio announces each thing once (edge-triggered), so the loop remembers it. A bit is set by a
//! kernel event. It is cleared only by an operation that met `WouldBlock`, or by a short read or
//! write where that proves the same ([`Driver::try_read`](crate::Driver::try_read)). Which
//! handles are called is a second question: a handle that a budget stopped is queued again, one
//! that its owner stopped is not. The queues are in `table.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// Readiness of a handle, and the loop's own marks beside it.
///
/// Closed bits are final: a half that was closed never opens again.
///
/// ```
/// use tidegate_loop::Bits;
/// let b = Bits::READABLE | Bits::READ_CLOSED;
/// assert!(b.has(Bits::READABLE) && !b.has(Bits::WRITABLE));
/// assert_eq!(format!("{b:?}"), "readable|read_closed");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Bits(u16);

impl Bits {
    /// Nothing known.
    pub const NONE: Bits = Bits(0);
    /// A read may find something (bytes, the end, or an error).
    pub const READABLE: Bits = Bits(1);
    /// A write may find room.
    pub const WRITABLE: Bits = Bits(1 << 1);
    /// The peer sent FIN, or the connection is gone. Final.
    pub const READ_CLOSED: Bits = Bits(1 << 2);
    /// Nothing written will arrive any more. Final.
    pub const WRITE_CLOSED: Bits = Bits(1 << 3);
    /// The descriptor has an error to fetch. Final.
    pub const ERROR: Bits = Bits(1 << 4);
    /// Urgent data came: a read stops short at its mark, and more may follow.
    pub const PRIORITY: Bits = Bits(1 << 5);
    /// A short read proves nothing: the kernel may stop one before its last byte. Set by
    /// the owner of the handle, for a Unix domain socket. Final.
    pub const SHORT_READS: Bits = Bits(1 << 6);
    pub(crate) const QUEUED: Bits = Bits(1 << 7);
    pub(crate) const PENDING: Bits = Bits(1 << 8);
    pub(crate) const CLOSING: Bits = Bits(1 << 9);
    pub(crate) const REFERENCED: Bits = Bits(1 << 10);
    pub(crate) const BUSY: Bits = Bits(1 << 11);
    /// The loop's own handle.
    pub(crate) const INTERNAL: Bits = Bits(1 << 12);
    /// Either keeps the loop alive.
    pub(crate) const ALIVE: Bits = Bits(Bits::REFERENCED.0 | Bits::BUSY.0);

    /// Whether any bit of `other` is set.
    #[inline]
    pub fn has(self, other: Bits) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Bits) -> Bits {
        Bits(self.0 | other.0)
    }

    /// Without the loop's own marks.
    #[inline]
    pub(crate) fn readiness(self) -> Bits {
        Bits(self.0 & (Bits::QUEUED.0 - 1))
    }

    /// Whether a handle with these keeps the loop alive. One that is queued although the
    /// kernel said nothing of it has work of its owner's to do. One that is only ready does
    /// not: it could stay so for ever.
    pub(crate) fn keep_alive(self) -> bool {
        let has_work = self.has(Bits::QUEUED) && self.readiness() == Bits::NONE;
        (has_work || self.has(Bits::ALIVE | Bits::CLOSING | Bits::PENDING))
            && !self.has(Bits::INTERNAL)
    }

    #[inline]
    pub(crate) fn clear(&mut self, other: Bits) {
        self.0 &= !other.0;
    }

    /// What one event of mio says. A closed or failed half counts as ready: the
    /// next operation on it returns at once, and says why.
    pub(crate) fn of(event: &mio::event::Event) -> Bits {
        let mut bits = Bits::NONE;
        let error = event.is_error();
        if error {
            bits |= Bits::ERROR;
        }
        if event.is_read_closed() {
            bits |= Bits::READ_CLOSED | Bits::READABLE;
        }
        if event.is_write_closed() {
            bits |= Bits::WRITE_CLOSED | Bits::WRITABLE;
        }
        if event.is_priority() {
            bits |= Bits::PRIORITY | Bits::READABLE;
        }
        if event.is_readable() || error {
            bits |= Bits::READABLE;
        }
        if event.is_writable() || error {
            bits |= Bits::WRITABLE;
        }
        bits
    }
}

impl BitOr for Bits {
    type Output = Bits;
    #[inline]
    fn bitor(self, other: Bits) -> Bits {
        Bits(self.0 | other.0)
    }
}

impl BitOrAssign for Bits {
    #[inline]
    fn bitor_assign(&mut self, other: Bits) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Bits::READABLE, "readable"),
            (Bits::WRITABLE, "writable"),
            (Bits::READ_CLOSED, "read_closed"),
            (Bits::WRITE_CLOSED, "write_closed"),
            (Bits::ERROR, "error"),
            (Bits::PRIORITY, "priority"),
            (Bits::SHORT_READS, "short_reads"),
            (Bits::QUEUED, "queued"),
            (Bits::PENDING, "pending"),
            (Bits::CLOSING, "closing"),
            (Bits::REFERENCED, "referenced"),
            (Bits::BUSY, "busy"),
            (Bits::INTERNAL, "internal"),
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
