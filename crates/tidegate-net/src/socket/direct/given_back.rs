//! Bytes that were read and are given back: they come again in a later dispatch, before any other,
//! or after `resume`. Who gets them is decided then, in `read.rs`.
#![forbid(unsafe_code)]

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::Handle;
use tidegate_stream::ReadState;

use crate::error::close::{Reason, Scope};
use crate::state::layer::{Crowded, Shared};
use crate::state::socket::{Life, Socket};
use crate::state::wire::Wire;

impl Socket {
    /// The next bytes that are delivered are these. Not before the connection is made, and not
    /// after the end.
    pub(crate) fn unread(&mut self, h: &mut Handle<'_>, shared: &mut Shared, bytes: &[u8]) {
        if self.end_pulled && !bytes.is_empty() && self.life == Life::Open {
            self.find_end_again(h);
        }
        let reads = self.duplex.read.is_flowing() || self.duplex.read == ReadState::Paused;
        let discards = self.pipes().is_some_and(|p| p.discard.is_some());
        if bytes.is_empty() || !reads || discards || self.life != Life::Open {
            return;
        }
        // One chunk may always be given back.
        let (before, limit) = (self.given_back().len(), self.duplex.write.limit());
        if before > limit {
            let queued = before + bytes.len();
            return self.destroy(h, Reason::WriteLimit { scope: Scope::Socket, queued, limit });
        }
        shared.buffered += bytes.len();
        if shared.buffered > shared.limits.buffered_limit {
            shared.crowded = Crowded::Write;
        }
        self.given_back_mut().splice(..0, bytes.iter().copied());
        self.steer_reads();
        self.go_on_reading(h);
    }

    /// The end was read by a caller that gives bytes back: it comes again behind them.
    #[cold]
    fn find_end_again(&mut self, h: &mut Handle<'_>) {
        if self.duplex.read != ReadState::Ended {
            return;
        }
        self.duplex.read.step_back();
        match &mut self.wire {
            // The kernel says it as often as it is asked.
            Wire::Plain => h.assume(Readiness::READABLE),
            Wire::Filter(stack) => stack.end_due = true,
        }
    }

    /// Takes all that was given back.
    pub(crate) fn take_all_given_back(&mut self, shared: &mut Shared) -> Vec<u8> {
        if self.given_back().is_empty() {
            return Vec::new();
        }
        let taken = std::mem::take(self.given_back_mut());
        shared.buffered -= taken.len();
        self.steer_reads();
        taken
    }

    /// Takes as many of the bytes that were given back as the buffer has room for.
    pub(crate) fn take_given_back(&mut self, shared: &mut Shared, buffer: &mut [u8]) -> usize {
        let given = self.given_back_mut();
        let n = given.len().min(buffer.len());
        buffer[..n].copy_from_slice(&given[..n]);
        given.drain(..n);
        if given.is_empty() {
            *given = Vec::new();
        }
        shared.buffered -= n;
        self.steer_reads();
        n
    }
}
