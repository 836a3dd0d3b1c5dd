//! The reactor: the poller, the table and the queues of one loop, and what it asks the
//! kernel. It turns events into bits and places in the ready queue, and calls nobody.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mio::{Events, Poll};

use crate::closing::{Buried, ClosingQueue, Graveyard};
#[cfg(any(test, feature = "test-util"))]
use crate::driver::Driver;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::observe::{Event, Moment, Observer};
use crate::phase::Phase;
use crate::ready::{Bits, ReadyQueue};
use crate::spans::Spans;
use crate::sys;
use crate::table::{Key, Kind, Table};
use crate::thinned::Thinned;

/// The poller, the table and the queues of one loop.
pub(crate) struct Reactor {
    pub(crate) table: Table,
    pub(crate) ready: ReadyQueue,
    pub(crate) pending: VecDeque<Key>,
    pub(crate) closing: ClosingQueue,
    pub(crate) graveyard: Graveyard,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) thinned: Thinned,
    pub(crate) observer: Option<Box<dyn Observer>>,
    clock: sys::Clock,
    /// Nanoseconds since it was made, read once when poll returns.
    pub(crate) now: u64,
    polled_at: u64,
    spans: Spans,
    /// The clock as it was read last, until something takes its time.
    pub(crate) read: Option<u64>,
    /// When the kernel was asked last, and how long it had not been before.
    asked_at: u64,
    pub(crate) away: u64,
    /// Nanoseconds spent in the poller.
    idle: u64,
    pub(crate) batch: usize,
    pub(crate) turn: u64,
    /// When it began; kept only with an observer.
    pub(crate) turn_began: u64,
    pub(crate) phase: Phase,
    /// Referenced handles.
    pub(crate) alive: usize,
    /// Calls and kernel events so far, for who steps through the phases.
    pub(crate) calls: u64,
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) script: Option<crate::script::Script>,
    events: Events,
    pub(crate) poll: Poll,
}

impl Reactor {
    pub(crate) fn new(poll: Poll, table: Table, limits: Limits) -> Reactor {
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
            turn: 0,
            turn_began: 0,
            phase: Phase::Outside,
            alive: 0,
            calls: 0,
            #[cfg(any(test, feature = "test-util"))]
            script: None,
            poll,
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

    fn read_clock(&mut self) -> u64 {
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
        let ended = self.read.unwrap_or(self.polled_at);
        self.now = self.read_clock();
        // The time between two runs belongs to no turn.
        self.polled_at = self.now.wrapping_sub(ended.wrapping_sub(self.polled_at));
    }

    /// The latest moment at which something can have happened that was noted with
    /// [`now`](Reactor::now).
    pub(crate) fn latest(&mut self, noted: u64) -> u64 {
        let clock = self.clock();
        self.spans.cut(self.polled_at);
        if noted >= self.polled_at {
            return clock;
        }
        // The turn before this run began is not among the lengths before the next poll.
        let longest = self.spans.longest_at(noted).max(clock.saturating_sub(self.polled_at));
        noted.saturating_add(longest).min(clock)
    }

    pub(crate) fn backend_fd(&self) -> Option<sys::BackendFd<'_>> {
        sys::backend_fd(&self.poll)
    }

    /// Asks the kernel and turns its events into bits and queue places. Runs no
    /// callback. `before` is the clock of now.
    #[inline(always)]
    pub(crate) fn poll<const WATCHED: bool>(
        &mut self,
        timeout: Option<Duration>,
        before: u64,
    ) -> io::Result<()> {
        let ready = self.ready.len();
        if WATCHED {
            self.emit(|| Event::Poll { timeout, ready });
        }
        if timeout != Some(Duration::ZERO) {
            self.metrics.blocking_polls += 1;
        }
        self.away = before.saturating_sub(self.asked_at);
        let turn = before.saturating_sub(self.polled_at);
        self.metrics.turn_lengths.add(turn);
        self.spans.note(turn);
        self.metrics.ready_depth = self.metrics.ready_depth.max(ready);
        let polled = self.ask(timeout);
        self.now = self.read_clock();
        self.polled_at = self.now;
        self.asked_at = self.now;
        self.idle += self.now.saturating_sub(before);
        self.batch = 0;
        match polled {
            Ok(()) => {}
            // A signal: zero events, and the turn goes on.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                if WATCHED {
                    self.polled(before);
                }
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        for event in self.events.iter() {
            self.batch += 1;
            let Some((key, slot)) = self.table.by_token(event.token()) else { continue };
            slot.bits |= Bits::of(event);
            if !slot.bits.has(Bits::QUEUED) {
                slot.bits |= Bits::QUEUED;
                self.ready.push(key);
            }
        }
        #[cfg(any(test, feature = "test-util"))]
        self.follow_script(timeout)?;
        if self.batch > 0 {
            self.calls += self.batch as u64;
            self.metrics.events += self.batch as u64;
            if timeout == Some(Duration::ZERO) {
                self.metrics.events_waiting += self.batch as u64;
            }
        }
        if WATCHED {
            self.polled(before);
        }
        Ok(())
    }

    #[cold]
    fn polled(&mut self, before: u64) {
        let (events, ready) = (self.batch, self.ready.len());
        let waited = Duration::from_nanos(self.now.saturating_sub(before));
        self.emit(|| Event::Polled { events, waited, ready });
    }

    /// The kernel's part of a poll. A script does not let it wait.
    fn ask(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        #[cfg(any(test, feature = "test-util"))]
        let timeout = if self.script.is_some() { Some(Duration::ZERO) } else { timeout };
        self.poll.poll(&mut self.events, timeout)
    }

    /// The script's part: its events, or the end of the wait.
    #[cfg(any(test, feature = "test-util"))]
    fn follow_script(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Some(script) = self.script.clone() else { return Ok(()) };
        match script.take() {
            Some(events) => {
                self.batch += events.len();
                for (key, bits) in events {
                    let mut d = Driver { r: self };
                    d.assume(key, bits);
                    d.queue(key);
                }
            }
            None if self.batch == 0 => script.wait(timeout)?,
            None => {}
        }
        self.now = self.read_clock();
        self.polled_at = self.now;
        Ok(())
    }

    /// Whether there is an observer. `--cfg tidegate_no_observer` builds a loop that has
    /// none, to count what asking costs.
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        cfg!(not(tidegate_no_observer)) && self.observer.is_some()
    }

    #[inline(always)]
    pub(crate) fn emit<'e>(&mut self, event: impl FnOnce() -> Event<'e>) {
        if self.is_watched() {
            self.make_and_tell(event);
        }
    }

    /// Out of the way of those that nobody observes.
    #[cold]
    #[inline(never)]
    fn make_and_tell<'e>(&mut self, event: impl FnOnce() -> Event<'e>) {
        let now = self.clock();
        self.tell(now, &event());
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

    /// A panic of the observer must not strike where state is half-changed: it waits
    /// in the graveyard, and the observer gets no more events.
    #[cold]
    pub(crate) fn tell(&mut self, now: u64, event: &Event<'_>) {
        let elapsed = Duration::from_nanos(now);
        let at = Moment { turn: self.turn, phase: self.phase, elapsed };
        let Some(mut observer) = self.observer.take() else { return };
        match catch_unwind(AssertUnwindSafe(|| observer.event(&at, event))) {
            Ok(()) => self.observer = Some(observer),
            Err(payload) => {
                self.graveyard.bury(Buried::Panic { payload });
                self.graveyard.bury(Buried::Observer { _observer: observer });
            }
        }
    }

    pub(crate) fn set_observer(&mut self, observer: Box<dyn Observer>) {
        self.turn_began = self.clock();
        if let Some(old) = self.observer.replace(observer) {
            self.graveyard.bury(Buried::Observer { _observer: old });
        }
    }

    /// The handles of users: all but the inbox.
    pub(crate) fn live(&self) -> impl Iterator<Item = (Key, &'static Kind, u64, Bits, u32)> {
        self.table
            .live()
            .filter(|(_, s)| !s.bits.has(Bits::INTERNAL))
            .filter_map(|(key, s)| Some((key, s.kind?, s.data, s.bits, s.since)))
    }

    /// Whether a handle in the ready queue keeps the loop alive. Costs a look at each that
    /// does not, so ask only if nothing else does.
    #[cold]
    pub(crate) fn has_work_queued(&self) -> bool {
        self.ready.iter().any(|key| self.table.get(key).is_some_and(|s| s.bits.keep_alive()))
    }

    pub(crate) fn free(&mut self, key: Key) {
        if let Some(bits) = self.table.remove(key) {
            self.alive -= usize::from(bits.has(Bits::ALIVE));
        }
    }
}
