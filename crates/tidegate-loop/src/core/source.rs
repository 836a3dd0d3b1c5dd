//! The sources of handles: how they are registered with the poller, and I/O that keeps what is
//! known of their readiness true to the kernel.
#![forbid(unsafe_code)]

use std::io;

use mio::Interest;
use mio::event::Source;

use crate::core::handle::Handle;
use crate::store::readiness::Readiness;
use crate::sys;

/// How a listener-like source was registered.
///
/// ```
/// use tidegate_loop::kind::Trigger;
/// assert_ne!(Trigger::Level, Trigger::Edge);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// The kernel reports it at every poll: stopping early loses nothing.
    Level,
    /// The kernel reports it once: go on to `WouldBlock`, or queue the handle again.
    Edge,
}

impl Handle<'_> {
    /// The interest of a stream whose reads go through [`try_read`](Handle::try_read): readable,
    /// and urgent data where that cuts reads short.
    pub const READS: Interest = sys::READS;

    /// Registers a source with the poller, edge-triggered.
    pub fn register(
        &mut self,
        source: &mut (impl Source + ?Sized),
        interest: Interest,
    ) -> io::Result<()> {
        self.r.poll.registry().register(source, self.key().token(), interest)
    }

    /// Changes what a registered source is watched for.
    pub fn reregister(
        &mut self,
        source: &mut (impl Source + ?Sized),
        interest: Interest,
    ) -> io::Result<()> {
        self.r.poll.registry().reregister(source, self.key().token(), interest)
    }

    /// Registers a source for reading, level-triggered where the system can.
    pub fn register_level(&mut self, source: &mut impl sys::LevelSource) -> io::Result<Trigger> {
        match sys::register_level(&self.r.poll, source, self.key().token()) {
            Some(done) => done.map(|()| Trigger::Level),
            None => self.register(source, Interest::READABLE).map(|()| Trigger::Edge),
        }
    }

    /// Takes back [`register_level`](Handle::register_level).
    pub fn deregister_level(&mut self, source: &mut impl sys::LevelSource) -> io::Result<()> {
        match sys::deregister_level(&self.r.poll, source, self.key().token()) {
            Some(done) => done,
            None => self.deregister(source),
        }
    }

    /// Runs a read of up to `len` bytes and keeps `READABLE` true to the
    /// kernel: cleared on `WouldBlock`, and on a short read where that proves
    /// the same, no end, error or urgent data was announced, and the handle is without
    /// [`Readiness::SHORT_READS`]. Retries `EINTR`. With the bytes comes whether there may be
    /// more: what `READABLE` is now.
    #[inline(always)]
    pub fn try_read(
        &mut self,
        len: usize,
        op: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<(usize, bool)> {
        // Found before the operation, which cannot change where it is.
        let bits = &mut self.slot_mut().bits;
        let n = operate(bits, Readiness::READABLE | Readiness::PRIORITY, op)?;
        let mut more = true;
        if 0 < n && n < len {
            more = !bits.short_read_drains();
            if !more {
                bits.clear(Readiness::READABLE);
            }
        }
        Ok((n, more))
    }

    /// Runs a write of `len` bytes and keeps `WRITABLE` true to the kernel, as
    /// [`try_read`](Handle::try_read) does for reads.
    #[inline(always)]
    pub fn try_write(
        &mut self,
        len: usize,
        op: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let bits = &mut self.slot_mut().bits;
        let done = operate(bits, Readiness::WRITABLE, op);
        if sys::SHORT_WRITE_DRAINS && matches!(done, Ok(n) if n < len) {
            bits.clear(Readiness::WRITABLE);
        }
        done
    }

    /// Runs any other operation; `bit` is cleared on `WouldBlock`. Retries
    /// `EINTR`.
    #[inline(always)]
    pub fn try_io<T>(
        &mut self,
        bit: Readiness,
        op: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        operate(&mut self.slot_mut().bits, bit, op)
    }
}

/// Runs an operation until no signal interrupts it. On `WouldBlock` these bits fall.
#[inline(always)]
fn operate<T>(
    bits: &mut Readiness,
    fall: Readiness,
    mut op: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        let failed = match op() {
            Ok(done) => return Ok(done),
            Err(e) => e,
        };
        match failed.kind() {
            io::ErrorKind::Interrupted => continue,
            io::ErrorKind::WouldBlock => bits.clear(fall.readiness()),
            _ => {}
        }
        return Err(failed);
    }
}
