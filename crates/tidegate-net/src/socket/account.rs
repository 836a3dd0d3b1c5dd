//! The loop's account of what all write queues hold. A socket is changed through
//! `Layer::with`, which keeps it.
//!
//! Beyond `buffered_limit` the connection that holds most is closed. Which one that is, and how
//! often all are looked at for it, is decided in `state/fairness/crowd.rs`.
#![forbid(unsafe_code)]

use tidegate_loop::kind::{Driver, Handle};
use tidegate_stream::{Chunk, Effect, Flow};

use crate::error::close::{Reason, Scope};
use crate::key::{OWNER, SocketKey};
use crate::state::layer::{Crowded, Layer, Shared};
use crate::state::socket::Socket;
use crate::state::wire::Wire;

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
        self.shared.crowded = Crowded::No;
    }
}

impl Layer {
    /// Changes a socket and keeps count of what its queue holds.
    #[inline]
    pub(crate) fn with<R>(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        f: impl FnOnce(&mut Socket, &mut Handle<'_>, &mut Shared) -> R,
    ) -> Option<R> {
        let mut h = d.handle(&OWNER, key.0)?;
        let s = self.sockets.get_mut(h.data() as usize, key)?;
        s.stirred = true;
        let before = s.duplex.write.held();
        let counted = Counted { s, shared: &mut self.shared, before };
        let done = f(counted.s, &mut h, counted.shared);
        let after = counted.s.duplex.write.held();
        counted.s.tell_busy(&mut h);
        std::mem::forget(counted);
        if after != before || self.shared.crowded != Crowded::No {
            self.recount(d, key, before, after);
        }
        Some(done)
    }

    /// A write by the user. One that the kernel takes whole leaves the connection as quiet as
    /// it was.
    #[inline(always)]
    pub(crate) fn write(&mut self, d: &mut Driver<'_>, key: SocketKey, data: Chunk<'_>) -> Flow {
        let Some(mut h) = d.handle(&OWNER, key.0) else { return Flow::Closed };
        let Some(s) = self.sockets.get_mut(h.data() as usize, key) else { return Flow::Closed };
        if !matches!(s.wire, Wire::Plain) || !s.duplex.write.is_clear() {
            return self.write_slowly(d, key, data);
        }
        match s.offer(&mut h, data.bytes()) {
            Some(out) if out == data.bytes().len() => Flow::Ready,
            Some(out) => self.write_rest(d, key, data, out),
            None => Flow::Closed,
        }
    }

    #[cold]
    #[inline(never)]
    fn write_slowly(&mut self, d: &mut Driver<'_>, key: SocketKey, data: Chunk<'_>) -> Flow {
        let flow = self.with(d, key, |s, h, shared| s.write(h, shared, data));
        flow.unwrap_or(Flow::Closed)
    }

    /// The kernel took only so many bytes of it.
    #[cold]
    #[inline(never)]
    fn write_rest(
        &mut self,
        d: &mut Driver<'_>,
        key: SocketKey,
        data: Chunk<'_>,
        out: usize,
    ) -> Flow {
        let flow = self.with(d, key, |s, h, shared| s.keep_rest(h, shared, data, out));
        flow.unwrap_or(Flow::Closed)
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

    /// The next effect of a connection's writes, and the connection. An id that is taken gives its
    /// memory back.
    #[inline]
    pub(crate) fn take_effect<'s, 'd>(
        &'s mut self,
        d: &'d mut Driver<'_>,
        key: SocketKey,
    ) -> Option<(Option<Effect>, &'s mut Socket, Handle<'d>)> {
        let h = d.handle(&OWNER, key.0)?;
        let s = self.sockets.get_mut(h.data() as usize, key)?;
        s.stirred = true;
        let before = s.duplex.write.held();
        let effect = s.take_effect();
        self.shared.buffered -= before - s.duplex.write.held();
        Some((effect, s, h))
    }

    /// `buffered_limit` is exceeded: closes the connections that hold most, of those that may be
    /// closed for it, but not the one that writes.
    #[cold]
    fn make_room(&mut self, d: &mut Driver<'_>, writer: Option<SocketKey>) {
        let Layer { sockets, shared, crowd, .. } = self;
        let limit = shared.limits.buffered_limit;
        let may = |s: &Socket| s.can_give_way() && Some(s.key) != writer;
        let held = |s: &Socket| s.duplex.write.held() + s.given_back().len();
        if crowd.begin(sockets.places()) {
            for (index, s) in sockets.iter().filter(|(_, s)| may(s)) {
                crowd.add(held(s), index);
            }
        }
        let mut freed = Vec::new();
        while shared.buffered > limit {
            let now = |index| sockets.at(index).filter(|s| may(s)).map(held);
            let Some(key) = crowd.take(now).and_then(|i| sockets.at(i)).map(|s| s.key) else {
                break;
            };
            let Some(mut h) = d.handle(&OWNER, key.0) else { continue };
            let Some(s) = sockets.get_mut(h.data() as usize, key) else { continue };
            let (queued, before) = (shared.buffered, s.duplex.write.held());
            s.destroy(&mut h, Reason::WriteLimit { scope: Scope::Loop, queued, limit });
            freed.push(s.duplex.write.discard());
            s.uncount_filters();
            s.tell_busy(&mut h);
            shared.buffered = queued - before + s.duplex.write.held();
            drop(s.take_all_given_back(shared));
        }
        // It may give way to the next one.
        let index = writer.and_then(|key| d.data(&OWNER, key.0)).map(|index| index as usize);
        if let Some((index, s)) = index.and_then(|i| Some((i, sockets.at(i)?))) {
            crowd.add(held(s), index);
        }
        // Last: this may run a `Drop` of a user's, inside of a `Bytes`.
        drop(freed);
    }
}
