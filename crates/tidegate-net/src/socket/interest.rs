//! What a connection waits for: registered with the poller, queued for its next dispatch,
//! paused, resumed. Pause and resume cost no system call.
#![forbid(unsafe_code)]

use mio::Interest;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::Handle;
use tidegate_stream::ReadState;

use crate::error::close::Reason;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::state::socket::{Life, Socket, Watched};

impl Socket {
    /// Registers with the poller for what is needed by now.
    pub(crate) fn watch(&mut self, h: &mut Handle<'_>) {
        let Some(stream) = &mut self.stream else { return };
        let both = !self.duplex.write.is_empty() || self.life == Life::Connecting;
        let (interest, watched) = if both {
            (Handle::READS | Interest::WRITABLE, Watched::Both)
        } else {
            (Handle::READS, Watched::Reads)
        };
        let done = if self.watched == Watched::Nothing {
            h.register(stream, interest)
        } else {
            h.reregister(stream, interest)
        };
        match done {
            Ok(()) => self.watched = watched,
            Err(e) => self.fail(h, Stage::Register, e),
        }
    }

    /// Reads nothing more. A connection whose writing failed would never get to its
    /// end that way, so it ends now.
    pub(crate) fn pause(&mut self, h: &mut Handle<'_>) {
        if self.duplex.read == ReadState::Flowing {
            self.duplex.read.pause();
            self.tell(h, || SocketEvent::Pause);
        }
        if let Some(failure) = self.take_failure() {
            self.destroy(h, Reason::Failed(failure));
        }
    }

    /// After a dispatch: a connection that can go on is queued, and a new one
    /// that cannot is registered.
    #[inline]
    pub(crate) fn rest(&mut self, h: &mut Handle<'_>) {
        if !self.duplex.is_open() {
            return;
        }
        let bits = h.readiness();
        let can_read = bits.has(Readiness::READABLE) && self.duplex.read.wants_read();
        let can_write = bits.has(Readiness::WRITABLE) && self.duplex.write.wants_write();
        if can_read || can_write {
            h.queue();
        } else if self.watched == Watched::Nothing {
            self.watch(h);
        }
    }

    /// Goes on reading, in a later dispatch.
    pub(crate) fn resume(&mut self, h: &mut Handle<'_>) {
        if self.duplex.read.resume() {
            self.tell(h, || SocketEvent::Resume);
            if h.readiness().has(Readiness::READABLE) {
                h.queue();
            }
        }
    }
}
