//! How callbacks run: [`Dispatch`] is the view of the loop for code that runs them, and each call
//! is followed by its ticks and by the drop of what it displaced. [`Dispatch::lend`] lends a value
//! of the user's to its call and puts it back afterwards. A handle whose call panics is queued
//! again.
#![forbid(unsafe_code)]

use crate::core::cx::Cx;
use crate::core::kind::Dispatch;
use crate::core::state::Core;
use crate::observe::Event;
use crate::store::key::Key;
use crate::store::readiness::Readiness;

impl Dispatch<'_> {
    /// A buffer of the loop to read into, at least `len` bytes with any content, and a dispatch,
    /// which may run callbacks while the buffer is borrowed. `None` outside of
    /// [`Kind::ready`](crate::kind::Kind::ready), and while the buffer is borrowed already.
    ///
    /// ```
    /// use tidegate_loop::Key;
    /// use tidegate_loop::kind::Dispatch;
    /// fn ready(d: &mut Dispatch<'_>, _: Key, _: u64) {
    ///     let Some((buffer, mut d)) = d.lend_scratch(64 * 1024) else { return };
    ///     buffer[..4].copy_from_slice(b"tide");
    ///     d.settle();
    /// }
    /// # let _: fn(&mut Dispatch<'_>, Key, u64) = ready;
    /// ```
    #[inline]
    pub fn lend_scratch(&mut self, len: usize) -> Option<(&mut [u8], Dispatch<'_>)> {
        let scratch = self.scratch.as_deref_mut()?;
        if scratch.len() < len {
            scratch.resize(len, 0);
        }
        Some((scratch, Dispatch { core: self.core, scratch: None, bits: self.bits }))
    }

    /// What was known of the readiness of the handle when it was called: one look-up less than
    /// [`Handle::readiness`](crate::kind::Handle::readiness), which also knows what changed since.
    ///
    /// ```
    /// use tidegate_loop::Key;
    /// use tidegate_loop::event::Readiness;
    /// use tidegate_loop::kind::Dispatch;
    /// fn ready(d: &mut Dispatch<'_>, _: Key, _: u64) {
    ///     if d.readiness().has(Readiness::READABLE) {
    ///         println!("there are bytes");
    ///     }
    /// }
    /// # let _: fn(&mut Dispatch<'_>, Key, u64) = ready;
    /// ```
    #[inline]
    pub fn readiness(&self) -> Readiness {
        self.bits.readiness()
    }

    /// A context to lend to one callback. Make a new one for the next.
    #[inline]
    pub fn cx(&mut self) -> Cx<'_> {
        Cx::new(self.core)
    }

    /// Lends a value, which the caller took out of its place, to `call`, which runs user code. The
    /// other two closures put it back: `back` when `call` has returned, `cut_off` when it panics.
    /// They must not run user code. Returns the answers of `call` and of `back`.
    ///
    /// ```
    /// use tidegate_loop::Key;
    /// use tidegate_loop::kind::{Dispatch, LayerId};
    /// type Step = fn(u32) -> u32;
    /// static STEPS: LayerId<Option<Step>> = LayerId::new(|| None);
    /// fn ready(d: &mut Dispatch<'_>, _: Key, _: u64) {
    ///     let Some(step) = d.layer(&STEPS).0.take() else { return };
    ///     let back = |d: &mut Dispatch<'_>, step: Step| *d.layer(&STEPS).0 = Some(step);
    ///     let (next, ()) = d.lend(step, |_cx, step| step(1), back, back);
    ///     println!("{next}");
    ///     d.settle();
    /// }
    /// # let _: fn(&mut Dispatch<'_>, Key, u64) = ready;
    /// ```
    #[inline(always)]
    pub fn lend<V, R, T>(
        &mut self,
        value: V,
        call: impl FnOnce(Cx<'_>, &mut V) -> R,
        back: impl FnOnce(&mut Dispatch<'_>, V) -> T,
        cut_off: impl FnMut(&mut Dispatch<'_>, V),
    ) -> (R, T) {
        let mut lent = Lent { d: self, value: Some(value), cut_off };
        let done = match &mut lent.value {
            Some(value) => call(Cx::new(lent.d.core), value),
            None => unreachable!("it was lent a line before"),
        };
        match lent.value.take() {
            Some(value) => {
                let put = back(lent.d, value);
                std::mem::forget(lent);
                (done, put)
            }
            None => unreachable!("only a panic takes it"),
        }
    }

    /// Runs code of a layer that needs the dispatch itself and may panic, by itself or in a
    /// callback. `cut_off` runs if it does, and must run no user code.
    ///
    /// ```
    /// use tidegate_loop::kind::Dispatch;
    /// fn parse(d: &mut Dispatch<'_>, bytes: &[u8], step: fn(&mut Dispatch<'_>, &[u8]) -> usize) -> usize {
    ///     d.guard(|d| step(d, bytes), |_| eprintln!("cut off"))
    /// }
    /// # let _ = parse;
    /// ```
    #[inline(always)]
    pub fn guard<R>(
        &mut self,
        call: impl FnOnce(&mut Dispatch<'_>) -> R,
        cut_off: impl FnMut(&mut Dispatch<'_>),
    ) -> R {
        let mut cut_off = cut_off;
        let cut_off = |d: &mut Dispatch<'_>, ()| cut_off(d);
        let lent = Lent { d: self, value: Some(()), cut_off };
        let done = call(lent.d);
        std::mem::forget(lent);
        done
    }

    /// Whether [`settle`](Dispatch::settle) would have nothing to do.
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.core.is_settled()
    }

    /// Call this after each user callback, when all state is consistent again: runs the ticks of
    /// the callback and drops the values that it replaced.
    #[inline]
    pub fn settle(&mut self) {
        self.core.settle();
    }
}

/// Why a handle is called. Each reason has its function of the [`Kind`](crate::kind::Kind).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Queued,
    Notified,
    Pending,
}

impl Core {
    /// Calls a handle. Its mark falls first, so the call may queue it again.
    #[inline(always)]
    pub(crate) fn dispatch<const WATCHED: bool>(
        &mut self,
        key: Key,
        why: Why,
        scratch: Option<&mut Vec<u8>>,
    ) {
        let Some(slot) = self.reactor.table.get_mut(key) else { return };
        let mark = match why {
            Why::Queued => Readiness::QUEUED,
            Why::Notified => Readiness::NONE,
            Why::Pending => Readiness::PENDING,
        };
        slot.bits.clear(mark.with(Readiness::FRESH));
        let (kind, data, bits) = (slot.kind, slot.data, slot.bits);
        if bits.has(Readiness::CLOSING) {
            return;
        }
        if WATCHED && why != Why::Pending {
            let bits = bits.readiness();
            self.reactor.tell_at_once(|_| Event::Ready { key, kind: kind.name(), bits });
        }
        let call = match why {
            Why::Queued => kind.ready,
            Why::Notified => kind.notified,
            Why::Pending => kind.pending,
        };
        let called = Interrupted { core: self, key, why };
        let core = &mut *called.core;
        core.call_if::<WATCHED>(key, kind.name(), |core| {
            call(&mut Dispatch::lending(core, scratch, bits), key, data);
        });
        called.returned();
    }

    #[cold]
    #[inline(never)]
    fn was_interrupted(&mut self, key: Key, why: Why) {
        match why {
            Why::Queued => self.reactor.queue(key),
            Why::Notified => self.inbox.notify(key),
            Why::Pending => self.reactor.pend(key),
        }
    }

    /// One call of a handle, and then its ticks. Measured with an observer.
    #[inline]
    pub(crate) fn call(&mut self, key: Key, kind: &'static str, call: impl FnOnce(&mut Core)) {
        if self.reactor.is_watched() {
            self.call_if::<true>(key, kind, call);
        } else {
            self.call_if::<false>(key, kind, call);
        }
    }

    #[inline(always)]
    pub(crate) fn call_if<const WATCHED: bool>(
        &mut self,
        key: Key,
        kind: &'static str,
        call: impl FnOnce(&mut Core),
    ) {
        self.reactor.calls += 1;
        self.reactor.read = None;
        let before = if WATCHED { self.reactor.clock() } else { 0 };
        if WATCHED {
            self.reactor.tell(before, &Event::Calling { key, kind });
        }
        call(self);
        self.settle();
        if WATCHED {
            self.reactor.tell_took(before, |metrics, took| {
                metrics.longest_call = metrics.longest_call.max(took);
                Event::Called { key, kind, took }
            });
        }
    }

    /// After each callback: its ticks, then what it displaced.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.is_settled() {
            self.settle_slowly();
        }
    }

    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.ticks.is_empty() && self.reactor.graveyard.is_empty()
    }

    /// Drops what was displaced. A panic of the observer, which waited for a place
    /// where everything is whole, goes on from here.
    #[inline]
    pub(crate) fn empty_graveyard(&mut self) {
        if !self.reactor.graveyard.is_empty() {
            self.empty_it_apart();
        }
    }

    #[cold]
    #[inline(never)]
    fn empty_it_apart(&mut self) {
        self.drop_buried();
    }

    #[inline(always)]
    fn drop_buried(&mut self) {
        while let Some(value) = self.reactor.graveyard.take_value() {
            drop(value);
        }
        if let Some(payload) = self.reactor.graveyard.take_panic() {
            std::panic::resume_unwind(payload);
        }
    }

    fn settle_slowly(&mut self) {
        loop {
            // What runs here takes its time as any call does.
            self.reactor.read = None;
            self.drop_buried();
            let Some(tick) = self.ticks.take() else { return };
            tick(&mut Cx::new(self));
        }
    }
}

/// A value that is out of its place. Dropping it, by a panic, puts it back.
struct Lent<'a, 'b, V, P: FnMut(&mut Dispatch<'_>, V)> {
    d: &'a mut Dispatch<'b>,
    value: Option<V>,
    cut_off: P,
}

impl<V, P: FnMut(&mut Dispatch<'_>, V)> Drop for Lent<'_, '_, V, P> {
    #[cold]
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            (self.cut_off)(self.d, value);
        }
    }
}

/// A dispatch that a panic may interrupt, be it a tick's: dropping it queues the
/// handle again, so that what its dispatch had left to do is done in the next run.
struct Interrupted<'a> {
    core: &'a mut Core,
    key: Key,
    why: Why,
}

impl Interrupted<'_> {
    #[inline]
    fn returned(self) {
        std::mem::forget(self);
    }
}

impl Drop for Interrupted<'_> {
    // Inlined, so that its fields can stay in registers over the call.
    #[inline(always)]
    fn drop(&mut self) {
        self.core.was_interrupted(self.key, self.why);
    }
}
