//! One turn of the loop, poll included. Read this file first.
//!
//! ```text
//!   pending -> idle -> prepare -> poll -> ready pass -> pending -> check -> closing -> timers
//!                                 |  ^
//!                                 |  +-- does not block while anything is queued
//!                                 +----- sets bits, queues handles, runs nothing
//! ```
//! - **pending**: effects of earlier API calls (`on_finish`, ...), bounded
//! - **idle**, **prepare**, **check**: hooks, in start order; while there is an idle
//!   hook, poll does not block
//! - **poll**: the kernel's events become bits and places in the ready queue
//! - **ready**: each queued handle once, in order, then the sockets accepted meanwhile, then the
//!   handles that threads notified, bounded; a handle that stops early is queued again for the
//!   next turn
//! - **closing**: close callbacks, first-in first-out; then the slot is free
//! - **timers**: what is due, in order of deadline and start
//!
//! After each callback come its ticks, and then the graveyard.
//! `run()` also runs due timers once up front, as libuv does since 1.45.
//!
//! The phase and every batch in it live in fields with a cursor, so a panic that
//! unwinds out of `run` leaves the rest for the next run, which goes on there.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use crate::core::dispatch::Why;
use crate::core::due::Mode;
use crate::core::kind::Dispatch;
use crate::core::state::{Core, Reactor};
use crate::handles::hook;
use crate::handles::timer;
use crate::observe::Event;
use crate::phase::Phase;
use crate::store::hooks::Hook;
use crate::store::key::Key;
use crate::store::readiness::Readiness;
use crate::sys;

/// Nanoseconds between two system calls of a busy poll. Without a pause there would be more of them,
/// and they would compete with the system call in which the client sends.
const BUSY_GAP: u64 = 5_000;

/// Passes over the pending queue in one phase; what is queued after that waits
/// for the next turn (libuv 1.44.2 chose the same number).
const PENDING_PASSES: usize = 8;

/// A turn, phase by phase.
const TURN: [Phase; 9] = [
    Phase::Pending,
    Phase::Idle,
    Phase::Prepare,
    Phase::Poll,
    Phase::Ready,
    Phase::Pending,
    Phase::Check,
    Phase::Closing,
    Phase::Timers,
];

/// Places in it.
const POLL: usize = 3;
const AFTER_READY: usize = 5;
const TIMERS: usize = 8;
const _: () = assert!(matches!((TURN[POLL], TURN[POLL + 1]), (Phase::Poll, Phase::Ready)));
const _: () = assert!(AFTER_READY == POLL + 2 && matches!(TURN[TIMERS], Phase::Timers));

impl Core {
    pub(crate) fn next_phase(&self) -> Phase {
        TURN[self.next]
    }

    /// One turn, or what a panic left of it.
    pub(crate) fn turn(&mut self, mode: Mode) -> io::Result<()> {
        if self.opened {
            self.settle();
        }
        // Asked once a turn: an observer comes from outside of a run.
        if self.reactor.is_watched() {
            self.phases_watched(mode)
        } else {
            self.phases::<false>(mode)
        }
    }

    /// Apart from the others, so that a turn without an observer costs nothing for it.
    #[cold]
    #[inline(never)]
    fn phases_watched(&mut self, mode: Mode) -> io::Result<()> {
        if self.opened {
            self.reactor.look_at_clock();
        }
        self.phases::<true>(mode)
    }

    /// An observer sees every phase; without one, the turn passes by those that have nothing
    /// to do.
    #[inline(always)]
    fn phases<const WATCHED: bool>(&mut self, mode: Mode) -> io::Result<()> {
        if !self.opened {
            self.open_turn::<WATCHED>();
        }
        loop {
            if WATCHED && self.pass_empty_phases() {
                return Ok(());
            }
            // Most turns have nothing to do before they poll, nor after the ready pass.
            match self.next {
                0 if !WATCHED && self.passes_by() => self.next = POLL,
                AFTER_READY if !WATCHED && self.passes_by() && !self.has_closing() => {
                    if !self.timers.has_any() {
                        self.end_turn::<WATCHED>();
                        return Ok(());
                    }
                    self.next = TIMERS;
                }
                _ => {}
            }
            match self.next {
                // Named here, these two cost no look into `TURN`.
                POLL => {
                    self.step::<WATCHED>(Phase::Poll, mode)?;
                    self.step::<WATCHED>(Phase::Ready, mode)?;
                }
                at => self.step::<WATCHED>(TURN[at], mode)?,
            }
            if self.next == 0 {
                return Ok(());
            }
        }
    }

    /// Tells the observer of the phases up to the next one that has something to do; `true` if the
    /// turn is over then.
    fn pass_empty_phases(&mut self) -> bool {
        let rest = &TURN[self.next..];
        let empty = rest.iter().take_while(|phase| self.has_nothing_in(**phase)).count();
        if let Some(last) = rest[..empty].last() {
            self.reactor.tell_empty(&rest[..empty]);
            self.reactor.phase = *last;
            self.next += empty - 1;
            self.pass_on::<true>();
        }
        !self.opened
    }

    /// One phase by itself.
    pub(crate) fn step_alone(&mut self, mode: Mode) -> io::Result<()> {
        if !self.opened {
            self.open_turn::<true>();
        } else {
            self.reactor.look_at_clock();
        }
        self.step::<true>(self.next_phase(), mode)
    }

    /// The next phase of the turn, which is this one. Interrupted by a panic, it is still the
    /// next.
    #[inline(always)]
    fn step<const WATCHED: bool>(&mut self, phase: Phase, mode: Mode) -> io::Result<()> {
        self.reactor.phase = phase;
        if WATCHED && self.has_nothing_in(phase) {
            self.reactor.tell_empty(&[phase]);
            self.pass_on::<WATCHED>();
            return Ok(());
        }
        // The ready pass begins where the poll ended.
        let before = match (WATCHED, phase) {
            (false, _) => 0,
            (true, Phase::Ready) => self.reactor.told_at,
            (true, _) => self.reactor.clock(),
        };
        match phase {
            Phase::Pending => self.run_pending::<WATCHED>(),
            Phase::Idle => hook::run(&mut Dispatch::new(self), Hook::Idle),
            Phase::Prepare => hook::run(&mut Dispatch::new(self), Hook::Prepare),
            Phase::Poll => {
                // What this thread notified rang nothing; and mio's poll(2) forgets a wake-up that
                // meets a registration of this thread.
                if self.inbox.has_any() {
                    self.reactor.queue(self.inbox_key);
                }
                // Of an observed turn the wait begins with the phase.
                let before = if WATCHED { before } else { self.reactor.recent() };
                let timeout = self.timeout(mode, before);
                // An observer of the poll may notify.
                if WATCHED {
                    self.inbox.begin_poll();
                }
                let polled = self.reactor.poll::<WATCHED>(timeout, before);
                if WATCHED {
                    self.inbox.end_poll();
                }
                polled?;
            }
            Phase::Ready => self.run_ready::<WATCHED>(),
            Phase::Check => hook::run(&mut Dispatch::new(self), Hook::Check),
            Phase::Closing => self.run_closing::<WATCHED>(),
            Phase::Timers => self.run_timers(),
            Phase::Outside => {}
        }
        if WATCHED {
            // It ends with its last call. A poll has none, and sorts events after the wait; timers
            // that are not due took a look.
            if matches!(phase, Phase::Poll | Phase::Timers) {
                self.reactor.look_at_clock();
            }
            let took = Duration::from_nanos(self.reactor.told_at.saturating_sub(before));
            self.reactor.metrics.phases[phase as usize] += took;
            self.reactor.tell_at_once(|_| Event::PhaseEnd { phase, took });
        }
        self.pass_on::<WATCHED>();
        Ok(())
    }

    #[inline(always)]
    fn pass_on<const WATCHED: bool>(&mut self) {
        self.next += 1;
        if self.next == TURN.len() {
            self.end_turn::<WATCHED>();
        }
    }

    #[inline]
    fn end_turn<const WATCHED: bool>(&mut self) {
        self.next = 0;
        self.opened = false;
        if WATCHED {
            // It ends with its last phase.
            let began = self.reactor.turn_began;
            self.reactor.tell_at_once(|now| Event::TurnEnd {
                took: Duration::from_nanos(now.saturating_sub(began)),
            });
        }
        if !self.ticks.is_empty() {
            self.reactor.metrics.ticks_carried_over += 1;
        }
    }

    #[inline(always)]
    fn open_turn<const WATCHED: bool>(&mut self) {
        self.opened = true;
        self.had_effects = !self.ticks.is_empty() || !self.reactor.pending.is_empty();
        let r = &mut self.reactor;
        r.turn += 1;
        r.metrics.turns += 1;
        if !r.ready.is_empty() {
            r.metrics.carried_over += 1;
        }
        r.phase = TURN[0];
        if WATCHED {
            let (now, ready) = (r.clock(), r.ready.len());
            r.turn_began = now;
            r.tell(now, &Event::Turn { ready });
        }
        self.ticks.open_turn(self.reactor.limits.tick_budget);
        let has_ticks = !self.is_settled();
        self.settle();
        if WATCHED && has_ticks {
            self.reactor.look_at_clock();
        }
    }

    #[inline(always)]
    fn run_pending<const WATCHED: bool>(&mut self) {
        for _ in 0..PENDING_PASSES {
            let mut left = self.reactor.pending.len();
            if left == 0 {
                return;
            }
            while left > 0 {
                left -= 1;
                let Some(key) = self.reactor.pending.pop_front() else { return };
                self.dispatch::<WATCHED>(key, Why::Pending, None);
            }
        }
    }

    #[inline(always)]
    fn run_ready<const WATCHED: bool>(&mut self) {
        // A panic loses it, and the next pass makes another.
        let mut scratch = std::mem::take(&mut self.scratch);
        self.reactor.ready.open_pass();
        while let Some(key) = self.reactor.ready.take() {
            self.dispatch::<WATCHED>(key, Why::Queued, Some(&mut scratch));
        }
        self.scratch = scratch;
        if self.inbox.has_notified() {
            self.run_notified::<WATCHED>();
        }
    }

    /// The rest of the ready pass: what was notified, also meanwhile.
    #[inline(never)]
    fn run_notified<const WATCHED: bool>(&mut self) {
        let mut scratch = std::mem::take(&mut self.scratch);
        for _ in 0..self.reactor.limits.notify_budget {
            let Some(key) = self.inbox.take_notified() else { break };
            self.dispatch::<WATCHED>(key, Why::Notified, Some(&mut scratch));
            while let Some(key) = self.reactor.ready.take() {
                self.dispatch::<WATCHED>(key, Why::Queued, Some(&mut scratch));
            }
        }
        self.scratch = scratch;
        self.reactor.metrics.notified_carried_over += u64::from(self.inbox.has_notified());
    }

    #[inline(always)]
    fn run_closing<const WATCHED: bool>(&mut self) {
        self.reactor.closing.open_batch();
        while let Some(key) = self.reactor.closing.take() {
            let Some(slot) = self.reactor.table.get(key) else { continue };
            let (kind, data) = (slot.kind, slot.data);
            let ending = Ending { core: self, key };
            ending.core.call_if::<WATCHED>(key, kind.name(), |core| {
                (kind.closed)(&mut Dispatch::new(core), key, data);
            });
        }
    }

    fn run_timers(&mut self) {
        if self.timers.has_any() {
            self.reactor.now = self.reactor.recent();
            timer::run_due(&mut Dispatch::new(self));
        }
    }
}

impl Reactor {
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
            self.tell(before, &Event::Poll { timeout, ready });
        }
        if timeout != Some(Duration::ZERO) {
            self.metrics.blocking_polls += 1;
        }
        self.away = before.saturating_sub(self.asked_at);
        self.metrics.turn_lengths.add(before.saturating_sub(self.polled_at));
        self.spans.note(self.polled_at, before);
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
            slot.bits |= Readiness::of(event);
            if !slot.bits.has(Readiness::QUEUED) {
                slot.bits |= Readiness::QUEUED;
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
        let now = self.now;
        let waited = Duration::from_nanos(now.saturating_sub(before));
        self.tell(now, &Event::Polled { events, waited, ready });
    }

    /// The kernel's part of a poll. A poller that cannot be asked after an error is not.
    fn ask(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if !sys::POLLS_AFTER_ERROR && self.poll_failed {
            return Err(io::Error::other("the poller of this loop failed before"));
        }
        let polled = self.ask_kernel(timeout);
        if !sys::POLLS_AFTER_ERROR {
            let failed = |e: &io::Error| e.kind() != io::ErrorKind::Interrupted;
            self.poll_failed = polled.as_ref().is_err_and(failed);
        }
        polled
    }

    /// A script does not let it wait.
    fn ask_kernel(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        #[cfg(any(test, feature = "test-util"))]
        let timeout = match &self.script {
            Some(script) if script.takes_failure() => return Err(io::ErrorKind::OutOfMemory.into()),
            Some(_) => Some(Duration::ZERO),
            None => timeout,
        };
        match timeout {
            // The compiler then does mio's arithmetic with it.
            Some(Duration::ZERO) => self.poll.poll(&mut self.events, Some(Duration::ZERO)),
            timeout if self.busy_poll > 0 && self.batch > 0 => self.ask_busily(timeout),
            timeout => self.poll.poll(&mut self.events, timeout),
        }
    }

    /// Asks every few microseconds before it waits: see [`Builder::busy_poll`](crate::Builder::busy_poll).
    #[cold]
    #[inline(never)]
    fn ask_busily(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let began = self.clock();
        let until_timer = timeout.map_or(u128::MAX, |timeout| timeout.as_nanos());
        let most = self.busy_poll.min(u64::try_from(until_timer).unwrap_or(u64::MAX));
        let mut took = 0;
        while took < most {
            self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
            if !self.events.is_empty() {
                self.metrics.busy_polls += 1;
                return Ok(());
            }
            let next = took.saturating_add(BUSY_GAP).min(most);
            while took < next {
                std::hint::spin_loop();
                took = self.clock().saturating_sub(began);
            }
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(Duration::from_nanos(took)));
        self.poll.poll(&mut self.events, left)
    }

    /// The script's part: its events, or the end of the wait.
    #[cfg(any(test, feature = "test-util"))]
    fn follow_script(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Some(script) = self.script.clone() else { return Ok(()) };
        match script.take() {
            Some(events) => {
                self.batch += events.len();
                for (key, bits) in events {
                    if let Some(slot) = self.table.get_mut(key) {
                        slot.bits |= bits.readiness();
                    }
                    self.queue(key);
                }
            }
            None if self.batch == 0 => script.wait(timeout)?,
            None => {}
        }
        self.now = self.read_clock();
        self.polled_at = self.now;
        Ok(())
    }
}

/// A close callback. However it ends, its slot is free then.
struct Ending<'a> {
    core: &'a mut Core,
    key: Key,
}

impl Drop for Ending<'_> {
    #[inline]
    fn drop(&mut self) {
        self.core.reactor.free(self.key);
    }
}
