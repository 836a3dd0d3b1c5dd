//! The loop's account of what all write queues hold. A socket is changed through
//! `Layer::with`, which keeps it.
//!
//! Beyond `buffered_limit` the longest queue gives way.
#![forbid(unsafe_code)]

use tidegate_loop::kind::Driver;
use tidegate_stream::Effect;

use crate::error::close::{Reason, Scope};
use crate::key::SocketKey;
use crate::state::layer::{Crowded, Layer, Shared};
use crate::state::socket::Socket;

/// A socket that is changed. Dropped by a panic (of a `Drop` of the user's, in a `Bytes`), it
/// keeps the account all the same.
struct Counted<'a> {
    s: &'a mut Socket,
    shared: &'a mut Shared,
    before: usize,
}

impl Drop for Counted<'_> {
    #[cold]
    fn drop(&mut self) {
        self.shared.buffered = self.shared.buffered - self.before + self.s.duplex.write.held();
    }
}

impl Layer {
    /// Changes a socket and keeps count of what its queue holds.
    #[inline]
    pub(crate) fn with<R>(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        f: impl FnOnce(&mut Socket, &mut Driver<'_>, &mut Shared) -> R,
    ) -> Option<R> {
        let s = self.sockets.get_mut(d.data(key.0)? as usize)?;
        let before = s.duplex.write.held();
        let counted = Counted { s, shared: &mut self.shared, before };
        let done = f(counted.s, d, counted.shared);
        let after = counted.s.duplex.write.held();
        counted.s.tell_busy(d);
        std::mem::forget(counted);
        if after != before {
            self.recount(d, key, before, after);
        }
        Some(done)
    }

    /// A queue holds more, or less.
    #[cold]
    #[inline(never)]
    fn recount(&mut self, d: &mut Driver<'_>, key: SocketKey, before: usize, after: usize) {
        self.shared.buffered = self.shared.buffered - before + after;
        match std::mem::take(&mut self.shared.crowded) {
            Crowded::No => {}
            Crowded::Write => self.make_room(d, Some(key)),
            Crowded::Answer => self.make_room(d, None),
        }
    }

    /// What is to be told next of a connection's writes, and the connection. An id that is
    /// taken gives its memory back.
    #[inline]
    pub(crate) fn take_effect(
        &mut self,
        d: &Driver<'_>,
        key: SocketKey,
    ) -> Option<(Option<Effect>, &mut Socket)> {
        let s = self.sockets.get_mut(d.data(key.0)? as usize)?;
        let before = s.duplex.write.held();
        let effect = s.take_effect();
        self.shared.buffered -= before - s.duplex.write.held();
        Some((effect, s))
    }

    /// `buffered_limit` is passed: of the connections that can give way, those that hold most
    /// are closed, but not the one that writes.
    #[cold]
    fn make_room(&mut self, d: &mut Driver<'_>, writer: Option<SocketKey>) {
        let limit = d.limits().buffered_limit;
        let waiting = self.sockets.iter();
        let waiting = waiting.filter(|(_, s)| s.can_give_way() && Some(s.key) != writer);
        let mut waiting: Vec<_> = waiting.map(|(i, s)| (s.duplex.write.held(), i)).collect();
        waiting.sort_unstable();
        let mut freed = Vec::new();
        while self.shared.buffered > limit {
            let Some((before, index)) = waiting.pop() else { break };
            let Some(s) = self.sockets.get_mut(index) else { break };
            let queued = self.shared.buffered;
            s.destroy(d, Reason::WriteLimit { scope: Scope::Loop, queued, limit });
            freed.push(s.duplex.write.discard());
            s.tell_busy(d);
            self.shared.buffered = queued - before + s.duplex.write.held();
        }
        // Last: this may run a `Drop` of a user's, inside of a `Bytes`.
        drop(freed);
    }
}
