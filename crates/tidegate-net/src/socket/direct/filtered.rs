//! Reading and writing now, of a connection with filters: bytes go through them, and what the
//! caller has no room for waits behind them.
//!
//! What it does to the bytes in between is in `socket/filters/run.rs`.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice, Read};

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Driver, Handle};
use tidegate_stream::ReadState;

use crate::error::close::{Kept, Reason};
use crate::key::{OWNER, SocketKey};
use crate::socket::filters::run::By;
use crate::socket::read::first_read;
use crate::state::layer::{Layer, Shared};
use crate::state::socket::{Life, Socket};
use crate::state::wire::Wire;

/// The least that is read from the kernel at once, whatever the caller has room for: a record is
/// seldom longer.
const LEAST: usize = 16 * 1024;
/// The most.
const MOST: usize = 64 * 1024;

fn would_block<T>() -> io::Result<T> {
    Err(ErrorKind::WouldBlock.into())
}

impl Layer {
    /// Reads what the filters made of the kernel's bytes. Reads from the kernel until they have
    /// made something, there is nothing more, or the budget is spent.
    #[cold]
    pub(crate) fn read_filtered(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let mut left = self.shared.limits.read_budget;
        loop {
            let taken = self.with(d, key, |s, h, _| s.take_filtered(h, buffer));
            match taken {
                None => return Err(ErrorKind::NotConnected.into()),
                Some(Some(done)) => return done,
                Some(None) if left == 0 => return would_block(),
                Some(None) => {}
            }
            let len = buffer.len().clamp(LEAST, MOST).min(left);
            left -= self.pull(d, key, len)?;
        }
    }

    /// One read from the kernel, through the filters; how many bytes.
    fn pull(&mut self, d: &mut Driver<'_>, key: SocketKey, len: usize) -> io::Result<usize> {
        let Layer { sockets, listeners, shared, .. } = self;
        let Some(mut h) = d.handle(&OWNER, key.0) else { return would_block() };
        let Some(s) = sockets.get_mut(h.data() as usize, key) else { return would_block() };
        if !h.readiness().has(Readiness::READABLE) {
            return would_block();
        }
        let Some(stream) = &s.stream else { return Err(ErrorKind::NotConnected.into()) };
        let mut bytes = std::mem::take(&mut shared.between);
        bytes.resize(bytes.len().max(len), 0);
        let done = h.try_read(len, || (&mut &*stream).read(&mut bytes[..len]));
        if s.fresh {
            let hit = !matches!(&done, Err(e) if e.kind() == ErrorKind::WouldBlock);
            let bytes = done.as_ref().map_or(0, |(n, _)| *n);
            first_read(s, listeners, &mut h, bytes, hit);
        }
        let read = match done {
            Ok((n, _)) => {
                self.with(d, key, |s, h, shared| s.pulled(h, shared, &mut bytes[..n]));
                Ok(n)
            }
            Err(e) => Err(s.pull_failed(&mut h, e)),
        };
        self.shared.between = bytes;
        match read {
            // The peer's end is to be found once.
            Ok(0) if !self.has_filtered(d, key) => would_block(),
            read => read,
        }
    }

    /// Whether there is something to take, or the connection is over.
    fn has_filtered(&mut self, d: &Driver<'_>, key: SocketKey) -> bool {
        self.socket(d, key).is_none_or(|s| !s.duplex.is_open() || s.is_fed())
    }
}

impl Socket {
    /// What the kernel gave goes through the filters; nothing: the peer's FIN.
    fn pulled(&mut self, h: &mut Handle<'_>, shared: &mut Shared, bytes: &mut [u8]) {
        if bytes.is_empty() {
            if let Some(first) = self.take_failure() {
                return self.destroy(h, Reason::Failed(first));
            }
            return self.wire_end(h, shared);
        }
        self.bytes_read += bytes.len() as u64;
        self.clocks.touch(h.nanos());
        self.filter(h, shared, By::Peer, |stack, run| stack.inbound(bytes, run));
        // Filters may have taken what waited for these bytes.
        if self.duplex.write.has_effect() || self.has_news() {
            h.pend();
        }
    }

    /// Takes what is behind the filters, the end included. `None`: nothing is, and the kernel is to
    /// be read.
    fn take_filtered(
        &mut self,
        h: &mut Handle<'_>,
        buffer: &mut [u8],
    ) -> Option<io::Result<usize>> {
        if let Some(error) = self.why_over() {
            return Some(Err(error));
        }
        if self.duplex.read == ReadState::Ended {
            return Some(Ok(0));
        }
        if self.life != Life::Open {
            return Some(would_block());
        }
        let Wire::Filter(stack) = &mut self.wire else { return Some(would_block()) };
        if !stack.ready_told || !stack.is_ready() {
            return Some(would_block());
        }
        if !stack.inbox.is_empty() {
            let n = stack.take(buffer);
            self.count_filters(h);
            self.drop_spent();
            // Also if this was not called by `readable`.
            self.go_on_reading(h);
            return Some(Ok(n));
        }
        std::mem::take(&mut stack.end_due).then(|| self.read_end(h))
    }

    /// Whether a caller gets the bytes that the kernel has: filters are ready, and that was told.
    pub(crate) fn is_readable_now(&self) -> bool {
        match &self.wire {
            Wire::Plain => true,
            Wire::Filter(stack) => stack.ready_told && stack.is_ready(),
        }
    }

    /// Whether bytes, or the end, wait behind the filters, and somebody may take them.
    #[cold]
    pub(crate) fn is_fed(&self) -> bool {
        let Wire::Filter(stack) = &self.wire else { return false };
        let waits = !stack.inbox.is_empty() || stack.end_due;
        waits && self.is_readable_now() && self.life == Life::Open
    }

    /// The error of a call in which a filter failed, or that comes after that.
    pub(super) fn why_over(&mut self) -> Option<io::Error> {
        let refused = self.life == Life::Refused;
        if self.duplex.is_open() && !refused {
            return None;
        }
        let kept = self.rare().and_then(|rare| rare.failure.clone()).filter(|_| refused);
        let error = kept.as_deref().or(self.duplex.outcome().and_then(Kept::error));
        Some(match error {
            Some(error) => io::Error::new(error.kind(), error.to_string()),
            None => ErrorKind::NotConnected.into(),
        })
    }

    /// Gives the filters what the kernel has room for: a piece at a time, until something of it
    /// has to wait. How many bytes they took.
    #[cold]
    pub(crate) fn write_filtered_now(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let most = shared.limits.write_budget;
        let mut record = std::mem::take(&mut shared.between);
        let (mut pieces, mut taken) = (pieces.iter().map(|p| &p[..]), 0);
        let mut rest: &[u8] = &[];
        while taken < most && self.takes_now() {
            record.clear();
            // Small pieces make one record.
            while record.len() < LEAST {
                if rest.is_empty() {
                    match pieces.next() {
                        Some(next) => rest = next,
                        None => break,
                    }
                }
                let (now, later) = rest.split_at(rest.len().min(LEAST - record.len()));
                record.extend_from_slice(now);
                rest = later;
            }
            if record.is_empty() {
                break;
            }
            self.filter(h, shared, By::User, |stack, run| stack.outbound(&record, run));
            taken += record.len();
        }
        shared.between = record;
        self.why_over().map_or(Ok(taken), Err)
    }

    /// Whether what is written now goes out now, as far as one can know.
    pub(crate) fn takes_now(&self) -> bool {
        let write = &self.duplex.write;
        let open = self.life != Life::Connecting && write.is_open() && write.is_direct();
        open && match &self.wire {
            Wire::Plain => true,
            Wire::Filter(stack) => stack.is_ready() && !stack.holds_back(write.high_water_mark()),
        }
    }
}
