//! [`Core`]: everything that a loop owns, and the types of the callbacks in it. What is done
//! with it is in the files beside this one, in `handles/` and in `turn.rs`.
#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll};

use crate::core::cx::Cx;
use crate::core::kind::Kind;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::observe::{Event, Moment, Observer};
use crate::phase::Phase;
use crate::spans::Spans;
use crate::store::graveyard::Graveyard;
use crate::store::hooks::{HookKey, Hooks};
use crate::store::key::Key;
use crate::store::readiness::Readiness;
use crate::store::table::{ClosingQueue, ReadyQueue, Slot, Table};
use crate::store::ticks::Ticks;
use crate::store::timers::{TimerKey, Timers};
use crate::sys;
use crate::sys::LayerStates;
use crate::thinned::Thinned;
use crate::threads::inbox::Inbox;

pub(crate) type TimerFn = Box<dyn TimerCall>;
pub(crate) type HookFn = Box<dyn FnMut(&mut Cx<'_>, HookKey)>;
pub(crate) type TickFn = Box<dyn FnOnce(&mut Cx<'_>)>;
pub(crate) type Post = Box<dyn FnOnce(&mut Cx<'_>) + Send>;

/// The slot of a handle.
pub(crate) type Row = Slot<&'static Kind>;

/// The callback of a timer. Its box can be buried as it is: each timer that ends does that.
pub(crate) trait TimerCall {
    fn call(&mut self, cx: &mut Cx<'_>, timer: TimerKey);
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<F: FnMut(&mut Cx<'_>, TimerKey) + 'static> TimerCall for F {
    fn call(&mut self, cx: &mut Cx<'_>, timer: TimerKey) {
        self(cx, timer);
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Everything a loop owns. The order of the fields is the order of their end:
/// user values first, the poller last.
pub(crate) struct Core {
    /// Of the layers above.
    pub(crate) layers: LayerStates,
    pub(crate) timers: Timers<TimerFn>,
    pub(crate) hooks: Hooks<HookFn>,
    /// What the kinds in `handles/` keep.
    pub(crate) own: LayerStates,
    pub(crate) ticks: Ticks<TickFn>,
    /// Posts of a batch that runs, or was interrupted by a panic.
    pub(crate) posts: VecDeque<Post>,
    pub(crate) inbox_key: Key,
    pub(crate) inbox: Arc<Inbox<Post>>,
    pub(crate) stop: bool,
    /// What the run returns that ends by it.
    pub(crate) failure: Option<io::Error>,
    /// The last run ended by it.
    pub(crate) was_stopped: bool,
    /// What handles read into; empty until one does.
    pub(crate) scratch: Vec<u8>,
    /// The next phase, a place in `TURN`.
    pub(crate) next: usize,
    /// The turn has begun.
    pub(crate) opened: bool,
    /// There were effects of API calls when it began.
    pub(crate) had_effects: bool,
    pub(crate) reactor: Reactor,
}

/// The poller, the table and the queues of one loop.
pub(crate) struct Reactor {
    pub(crate) table: Table<&'static Kind>,
    pub(crate) ready: ReadyQueue,
    pub(crate) pending: VecDeque<Key>,
    pub(crate) closing: ClosingQueue,
    pub(crate) graveyard: Graveyard,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) thinned: Thinned,
    pub(crate) observer: Option<Box<dyn Observer>>,
    pub(crate) clock: sys::Clock,
    /// Nanoseconds since it was made, read once when poll returns.
    pub(crate) now: u64,
    pub(crate) polled_at: u64,
    pub(crate) spans: Spans,
    /// The clock as it was read last, until something takes its time.
    pub(crate) read: Option<u64>,
    /// When the kernel was asked last, and how long it had not been before.
    pub(crate) asked_at: u64,
    pub(crate) away: u64,
    /// Nanoseconds spent in the poller.
    pub(crate) idle: u64,
    pub(crate) batch: usize,
    /// Nanoseconds: see `Builder::busy_poll`.
    pub(crate) busy_poll: u64,
    pub(crate) turn: u64,
    /// When it began; kept only with an observer.
    pub(crate) turn_began: u64,
    /// The moment of the observer's last event. What follows it at once has the same one, without
    /// another look at the clock.
    pub(crate) told_at: u64,
    pub(crate) phase: Phase,
    /// Referenced handles.
    pub(crate) alive: usize,
    /// Calls and kernel events so far, for `run_phase`.
    pub(crate) calls: u64,
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) script: Option<crate::script::Script>,
    pub(crate) events: Events,
    pub(crate) poll: Poll,
    /// Kept where the poller cannot be asked again.
    pub(crate) poll_failed: bool,
}

impl Reactor {
    pub(crate) fn new(poll: Poll, table: Table<&'static Kind>, limits: Limits) -> Reactor {
        Reactor {
            table,
            ready: ReadyQueue::default(),
            pending: VecDeque::new(),
            closing: ClosingQueue::default(),
            graveyard: Graveyard::default(),
            events: Events::with_capacity(limits.events),
            limits,
            metrics: Metrics::default(),
            thinned: Thinned::default(),
            observer: None,
            clock: sys::Clock::start(),
            now: 0,
            polled_at: 0,
            spans: Spans::default(),
            read: None,
            asked_at: 0,
            away: 0,
            idle: 0,
            batch: 0,
            busy_poll: 0,
            turn: 0,
            turn_began: 0,
            told_at: 0,
            phase: Phase::Outside,
            alive: 0,
            calls: 0,
            #[cfg(any(test, feature = "test-util"))]
            script: None,
            poll,
            poll_failed: false,
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        Metrics { idle: Duration::from_nanos(self.idle), ..self.metrics }
    }

    pub(crate) fn clock(&self) -> u64 {
        #[cfg(any(test, feature = "test-util"))]
        if let Some(script) = &self.script {
            return script.clock();
        }
        self.clock.elapsed()
    }

    pub(crate) fn read_clock(&mut self) -> u64 {
        let now = self.clock();
        self.read = Some(now);
        now
    }

    /// The clock as it was read last, if no user code ran since: what passes without is
    /// less than a timer can tell.
    #[inline]
    pub(crate) fn recent(&mut self) -> u64 {
        match self.read {
            Some(now) => now,
            None => self.read_clock(),
        }
    }

    /// A run begins.
    pub(crate) fn enter(&mut self) {
        // The last turn of the run before ended when the clock was read last.
        self.spans.note(self.polled_at, self.read.unwrap_or(0));
        self.now = self.read_clock();
        self.polled_at = self.now;
    }

    /// The latest moment at which something can have happened that was noted with
    /// [`now`](Reactor::now).
    pub(crate) fn latest(&self, noted: u64) -> u64 {
        let clock = self.clock();
        if noted >= self.polled_at { clock } else { self.spans.latest(noted).min(clock) }
    }

    pub(crate) fn backend_fd(&self) -> Option<sys::BackendFd<'_>> {
        sys::backend_fd(&self.poll)
    }

    /// Whether there is an observer. `--cfg tidegate_no_observer` builds a loop that has
    /// none, to count what asking costs.
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        cfg!(not(tidegate_no_observer)) && self.observer.is_some()
    }

    /// Something that began at `before` is over: exactly as long before this moment. Only
    /// with an observer: a clock read costs about as much as a small phase.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_took<'e>(
        &mut self,
        before: u64,
        event: impl FnOnce(&mut Metrics, Duration) -> Event<'e>,
    ) {
        let now = self.clock();
        let took = Duration::from_nanos(now.saturating_sub(before));
        let event = event(&mut self.metrics, took);
        self.tell(now, &event);
    }

    /// The same for something that took no time: it came right after the last event.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_at_once<'e>(&mut self, event: impl FnOnce(u64) -> Event<'e>) {
        let now = self.told_at;
        self.tell(now, &event(now));
    }

    /// Time has passed since the last event.
    pub(crate) fn look_at_clock(&mut self) {
        self.told_at = self.clock();
    }

    #[cold]
    pub(crate) fn tell(&mut self, now: u64, event: &Event<'_>) {
        self.told_at = now;
        let elapsed = Duration::from_nanos(now);
        let at = Moment { turn: self.turn, phase: self.phase, elapsed };
        self.lend_observer(|observer| observer.event(&at, event));
    }

    /// These phases had nothing to do, and took no time.
    #[cold]
    pub(crate) fn tell_empty(&mut self, phases: &[Phase]) {
        let (turn, elapsed) = (self.turn, Duration::from_nanos(self.told_at));
        self.lend_observer(|observer| {
            for &phase in phases {
                let took = Duration::ZERO;
                observer.event(&Moment { turn, phase, elapsed }, &Event::PhaseEnd { phase, took });
            }
        });
    }

    /// A panic of the observer must not strike where state is half-changed: it waits
    /// in the graveyard, and the observer gets no more events.
    #[inline(always)]
    fn lend_observer(&mut self, call: impl FnOnce(&mut dyn Observer)) {
        let Some(observer) = self.observer.as_deref_mut() else { return };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(observer))) {
            self.graveyard.panic_later(payload);
            if let Some(observer) = self.observer.take() {
                self.graveyard.bury(observer);
            }
        }
    }

    pub(crate) fn set_observer(&mut self, observer: Box<dyn Observer>) {
        self.turn_began = self.clock();
        self.told_at = self.turn_began;
        if let Some(old) = self.observer.replace(observer) {
            self.graveyard.bury(old);
        }
    }

    /// Whether a handle in the ready queue keeps the loop alive. Costs a look at each that
    /// does not, so ask only if nothing else does.
    #[cold]
    pub(crate) fn has_work_queued(&self) -> bool {
        self.ready.iter().any(|key| self.table.get(key).is_some_and(|s| s.bits.keep_alive()))
    }

    pub(crate) fn free(&mut self, key: Key) {
        if let Some(bits) = self.table.remove(key) {
            self.alive -= usize::from(bits.has(Readiness::ALIVE));
        }
    }

    /// Marks the handle as alive for this reason, or not.
    pub(crate) fn set_alive(&mut self, key: Key, bit: Readiness, on: bool) {
        let Some(slot) = self.table.get_mut(key) else { return };
        let before = slot.bits.has(Readiness::ALIVE);
        if on {
            slot.bits |= bit;
        } else {
            slot.bits.clear(bit);
        }
        match (before, slot.bits.has(Readiness::ALIVE)) {
            (false, true) => self.alive += 1,
            (true, false) => self.alive -= 1,
            _ => {}
        }
    }

    /// For the next ready pass.
    #[inline]
    pub(crate) fn queue(&mut self, key: Key) {
        if self.table.mark(key, Readiness::QUEUED) {
            self.ready.push(key);
        }
    }

    /// For the ready pass that runs.
    pub(crate) fn queue_now(&mut self, key: Key) {
        if self.table.mark(key, Readiness::QUEUED) {
            self.ready.push_now(key);
        }
    }

    /// Behind the others of the ready pass that runs, for the handle that it calls now.
    pub(crate) fn queue_last(&mut self, key: Key) -> bool {
        let queued = self.table.get(key).is_none_or(|slot| slot.bits.has(Readiness::QUEUED));
        if queued || self.phase != Phase::Ready || !self.ready.push_last(key) {
            return false;
        }
        self.table.mark(key, Readiness::QUEUED);
        true
    }

    /// For the next pending phase.
    pub(crate) fn pend(&mut self, key: Key) {
        if self.table.mark(key, Readiness::PENDING) {
            self.pending.push_back(key);
        }
    }

    /// For the next closing phase; `false` if it is there already.
    pub(crate) fn close(&mut self, key: Key) -> bool {
        let fresh = self.table.mark(key, Readiness::CLOSING);
        if fresh {
            self.closing.push(key);
        }
        fresh
    }
}
