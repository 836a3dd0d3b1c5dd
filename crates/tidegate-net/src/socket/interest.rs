//! What a connection waits for: registered with the poller, queued for its next dispatch,
//! paused, resumed. Pause and resume cost no system call.
#![forbid(unsafe_code)]

use mio::Interest;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::Driver;
use tidegate_stream::ReadState;

use crate::error::close::Reason;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::state::socket::{Life, Socket, Watched};

impl Socket {
    /// Registers with the poller for what is needed by now.
    pub(crate) fn watch(&mut self, d: &mut Driver<'_>) {
        let Some(stream) = &mut self.stream else { return };
        let both = !self.duplex.write.is_empty() || self.life == Life::Connecting;
        let (interest, watched) = if both {
            (Driver::READS | Interest::WRITABLE, Watched::Both)
        } else {
            (Driver::READS, Watched::Reads)
        };
        let done = if self.watched == Watched::Nothing {
            d.register(self.key.0, stream, interest)
        } else {
            d.reregister(self.key.0, stream, interest)
        };
        match done {
            Ok(()) => self.watched = watched,
            Err(e) => self.fail(d, Stage::Register, e),
        }
    }

    /// Reads nothing more. A connection whose writing failed would never get to its
    /// end that way, so it ends now.
    pub(crate) fn pause(&mut self, d: &mut Driver<'_>) {
        if self.duplex.read == ReadState::Flowing {
            self.duplex.read.pause();
            self.tell(d, || SocketEvent::Pause);
        }
        if let Some(failure) = self.take_failure() {
            self.destroy(d, Reason::Failed(failure));
        }
    }

    /// After a dispatch: a connection that can go on is queued, and a new one
    /// that cannot is registered.
    #[inline]
    pub(crate) fn rest(&mut self, d: &mut Driver<'_>) {
        if !self.duplex.is_open() {
            return;
        }
        let bits = d.bits(self.key.0);
        let can_read = bits.has(Readiness::READABLE) && self.duplex.read.wants_read();
        let can_write = bits.has(Readiness::WRITABLE) && self.duplex.write.wants_write();
        if can_read || can_write {
            d.queue(self.key.0);
        } else if self.watched == Watched::Nothing {
            self.watch(d);
        }
    }

    /// Goes on reading, in a later dispatch.
    pub(crate) fn resume(&mut self, d: &mut Driver<'_>) {
        if self.duplex.read.resume() {
            self.tell(d, || SocketEvent::Resume);
            if d.bits(self.key.into()).has(Readiness::READABLE) {
                d.queue(self.key.into());
            }
        }
    }
}
