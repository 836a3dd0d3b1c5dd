//! This layer's state in a loop: sockets, listeners, and the buffers they
//! share.
#![forbid(unsafe_code)]

use slab::Slab;
use tidegate_loop::Driver;
use tidegate_stream::Effect;

use crate::error::{Reason, Scope};
use crate::held::Claims;
use crate::key::{ServerKey, SocketKey};
use crate::listener::Listener;
use crate::metrics::NetMetrics;
use crate::offer::Offer;
use crate::socket::Socket;
use crate::timeout;
use crate::wire::Passed;

/// Kept by the loop, one per loop. The loop's table says which index a key
/// means, and that the key is not stale.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) sockets: Slab<Socket>,
    pub(crate) listeners: Slab<Listener>,
    /// The connection that a server's callback decides about.
    pub(crate) offer: Offer,
    pub(crate) shared: Shared,
    pub(crate) deadlines: timeout::Queue,
    /// What connections counted that are over.
    pub(crate) counted: NetMetrics,
    /// Listeners that wait for a descriptor.
    pub(crate) held: usize,
    pub(crate) claims: Claims,
}

/// What all sockets of a loop share while one of them is changed.
#[derive(Default)]
pub(crate) struct Shared {
    /// What a filter made; empty before each of its calls.
    pub(crate) passed: Passed,
    /// Bytes of memory that all write queues hold.
    pub(crate) buffered: usize,
    /// A connection queued bytes though `buffered_limit` was passed: others are to give way.
    pub(crate) crowded: bool,
}

impl Layer {
    #[inline]
    pub(crate) fn socket(&mut self, d: &Driver<'_>, key: SocketKey) -> Option<&mut Socket> {
        self.sockets.get_mut(d.data(key.0)? as usize)
    }

    pub(crate) fn listener(&mut self, d: &Driver<'_>, key: ServerKey) -> Option<&mut Listener> {
        self.listeners.get_mut(d.data(key.0)? as usize)
    }

    /// Takes a socket out for good.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Socket> {
        let s = self.sockets.try_remove(index)?;
        self.shared.buffered -= s.duplex.write.held();
        if self.sockets.is_empty() {
            self.deadlines.clear();
        }
        Some(s)
    }

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
        let done = f(s, d, &mut self.shared);
        let after = s.duplex.write.held();
        s.tell_busy(d);
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
        if self.shared.crowded {
            self.make_room(d, key);
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

    /// `buffered_limit` is passed: of the connections that wait for a drain, those that
    /// hold most are closed, but not the one that writes.
    #[cold]
    fn make_room(&mut self, d: &mut Driver<'_>, writer: SocketKey) {
        self.shared.crowded = false;
        let limit = d.limits().buffered_limit;
        let waits = |s: &Socket| s.duplex.write.needs_drain() && s.key != writer;
        let waiting = self.sockets.iter().filter(|(_, s)| waits(s));
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
