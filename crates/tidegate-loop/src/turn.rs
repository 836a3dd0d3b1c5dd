//! One turn of the loop. Read this file first.
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
//! - **ready**: each queued handle once, in order, then the sockets accepted
//!   meanwhile; whoever stops early is queued again for the next turn
//! - **closing**: close callbacks, first-in first-out; then the slot is free
//! - **timers**: what is due, in order of deadline and start
//!
//! After each callback come its ticks, and then the graveyard.
//! `run()` also runs due timers once up front, as libuv does since 1.45.
//!
//! The phase and every batch in it live in fields with a cursor, so a panic that
//! unwinds out of `run` leaves the rest for the next run, which goes on there.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::closing::Buried;
use crate::cx::Cx;
use crate::dispatch::Dispatch;
use crate::driver::Driver;
use crate::hooks::{self, Hook, Hooks};
use crate::keep_alive::KeepAlives;
use crate::observe::Event;
use crate::phase::Phase;
use crate::reactor::Reactor;
use crate::ready::Bits;
use crate::remote::{Post, Remote};
use crate::shared::Values;
#[cfg(feature = "signal")]
use crate::signal::Signals;
use crate::sys::Layers;
use crate::table::Key;
use crate::tick::Ticks;
use crate::timers::{self, Timers};
use crate::watch::Watches;
#[cfg(feature = "work")]
use crate::work::Works;

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
const READY: usize = 4;
const AFTER_READY: usize = 5;
const _: () = assert!(matches!((TURN[POLL], TURN[READY]), (Phase::Poll, Phase::Ready)));
const _: () = assert!(AFTER_READY == READY + 1);

/// How long a turn may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Default,
    /// A turn that had something to tell before it asks the kernel does not wait.
    Once,
    NoWait,
}

/// Everything a loop owns. The order of the fields is the order of their end:
/// user values first, the poller last.
pub(crate) struct Core {
    pub(crate) layers: Layers,
    pub(crate) timers: Timers,
    pub(crate) hooks: Hooks,
    pub(crate) watches: Watches,
    pub(crate) values: Values,
    pub(crate) keep_alives: KeepAlives,
    #[cfg(feature = "signal")]
    pub(crate) signals: Signals,
    #[cfg(feature = "work")]
    pub(crate) works: Works,
    pub(crate) ticks: Ticks,
    pub(crate) inbox: VecDeque<Post>,
    pub(crate) inbox_key: Key,
    pub(crate) remote: Remote,
    pub(crate) stop: bool,
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

impl Core {
    /// Handles of users, without the loop's own.
    pub(crate) fn handles(&self) -> usize {
        self.reactor.table.len()
    }

    pub(crate) fn end_timer(&mut self, key: Key, entry: u32) {
        if let Some(callback) = self.timers.remove(entry) {
            self.reactor.graveyard.bury(Buried::Timer { _callback: callback });
        }
        Driver { r: &mut self.reactor }.free(&timers::TIMER, key);
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.reactor.alive > 0
            || !self.ticks.is_empty()
            || !self.reactor.pending.is_empty()
            || !self.reactor.closing.is_empty()
            || self.remote.is_woken()
            || !self.inbox.is_empty()
            || self.reactor.has_work_queued()
    }

    pub(crate) fn may_turn(&self) -> bool {
        self.is_alive() && !self.stop
    }

    pub(crate) fn next_phase(&self) -> Phase {
        TURN[self.next]
    }

    /// Whether something waits that needs no kernel.
    fn must_not_block(&self) -> bool {
        self.stop
            || !self.reactor.ready.is_empty()
            || !self.reactor.pending.is_empty()
            || !self.reactor.closing.is_empty()
            || !self.ticks.is_empty()
            || self.timers.has_due()
            || self.hooks.has_any(Hook::Idle)
            || !self.is_alive()
    }

    pub(crate) fn timeout(&self, mode: Mode, clock: u64) -> Option<Duration> {
        let told = mode == Mode::Once && self.had_effects;
        if told || mode == Mode::NoWait || self.must_not_block() {
            return Some(Duration::ZERO);
        }
        let deadline = self.timers.next_deadline()?;
        Some(Duration::from_nanos(deadline.saturating_sub(clock)))
    }

    /// One turn, or what a panic left of it.
    pub(crate) fn turn(&mut self, mode: Mode) -> io::Result<()> {
        if self.opened {
            self.settle();
        }
        // Asked once a turn: an observer comes from outside of a run.
        if self.reactor.is_watched() { self.turn_watched(mode) } else { self.phases(mode) }
    }

    /// The same, phase by phase, for those who observe: so the others pay nothing for it.
    #[cold]
    #[inline(never)]
    fn turn_watched(&mut self, mode: Mode) -> io::Result<()> {
        loop {
            self.step::<true>(mode)?;
            if self.next == 0 {
                return Ok(());
            }
        }
    }

    #[inline(always)]
    fn phases(&mut self, mode: Mode) -> io::Result<()> {
        if !self.opened {
            self.open_turn::<false>();
        }
        loop {
            // Most turns have nothing to do before they poll, nor after the ready pass.
            match self.next {
                READY => {}
                0 if self.passes_by() => self.next = POLL,
                AFTER_READY if self.passes_by() && !self.has_ends() => {
                    self.end_turn::<false>();
                    return Ok(());
                }
                _ => {}
            }
            self.step::<false>(mode)?;
            if self.next == 0 {
                return Ok(());
            }
        }
    }

    /// Whether there is no effect to tell, and no hook.
    #[inline]
    fn passes_by(&self) -> bool {
        self.reactor.pending.is_empty() && self.hooks.is_empty()
    }

    /// Whether a turn has close callbacks or timers to look at.
    #[inline]
    fn has_ends(&self) -> bool {
        !self.reactor.closing.is_empty() || self.timers.has_any()
    }

    /// The next phase of the turn. Interrupted by a panic, it is still the next.
    #[inline(always)]
    pub(crate) fn step<const WATCHED: bool>(&mut self, mode: Mode) -> io::Result<()> {
        let phase = TURN[self.next];
        if !self.opened {
            self.open_turn::<WATCHED>();
        }
        self.reactor.phase = phase;
        let before = if WATCHED { self.reactor.clock() } else { 0 };
        match phase {
            Phase::Pending => self.run_pending::<WATCHED>(),
            Phase::Idle => hooks::run(&mut Dispatch::new(self), Hook::Idle),
            Phase::Prepare => hooks::run(&mut Dispatch::new(self), Hook::Prepare),
            Phase::Poll => {
                // mio's poll(2) forgets a wake-up that meets a registration of this thread.
                if self.remote.is_woken() {
                    Driver { r: &mut self.reactor }.queue(self.inbox_key);
                }
                let before = self.reactor.recent();
                let timeout = self.timeout(mode, before);
                self.reactor.poll::<WATCHED>(timeout, before)?;
            }
            Phase::Ready => self.run_ready::<WATCHED>(),
            Phase::Check => hooks::run(&mut Dispatch::new(self), Hook::Check),
            Phase::Closing => self.run_closing::<WATCHED>(),
            Phase::Timers => self.run_timers(),
            Phase::Outside => {}
        }
        if WATCHED {
            self.reactor.tell_took(before, |metrics, took| {
                metrics.phases[phase as usize] += took;
                Event::PhaseEnd { phase, took }
            });
        }
        self.next += 1;
        if self.next == TURN.len() {
            self.end_turn::<WATCHED>();
        }
        Ok(())
    }

    #[inline]
    fn end_turn<const WATCHED: bool>(&mut self) {
        self.next = 0;
        self.opened = false;
        if WATCHED {
            let began = self.reactor.turn_began;
            self.reactor.tell_took(began, |_, took| Event::TurnEnd { took });
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
            r.turn_began = r.clock();
            let ready = r.ready.len();
            r.emit(|| Event::Turn { ready });
        }
        self.ticks.open_turn(self.reactor.limits.tick_budget);
        self.settle();
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
                self.dispatch::<WATCHED>(key, Bits::PENDING, None);
            }
        }
    }

    #[inline(always)]
    fn run_ready<const WATCHED: bool>(&mut self) {
        // A panic loses it, and the next pass makes another.
        let mut scratch = std::mem::take(&mut self.scratch);
        self.reactor.ready.open_pass();
        while let Some(key) = self.reactor.ready.take() {
            self.dispatch::<WATCHED>(key, Bits::QUEUED, Some(&mut scratch));
        }
        self.scratch = scratch;
    }

    /// Calls a queued handle. Its mark falls first, so the call may queue it
    /// again.
    #[inline(always)]
    fn dispatch<const WATCHED: bool>(
        &mut self,
        key: Key,
        mark: Bits,
        scratch: Option<&mut Vec<u8>>,
    ) {
        let Some(slot) = self.reactor.table.get_mut(key) else { return };
        slot.bits.clear(mark);
        let Some(kind) = slot.kind else { return };
        let (data, bits) = (slot.data, slot.bits);
        if bits.has(Bits::CLOSING) {
            return;
        }
        if WATCHED && mark == Bits::QUEUED {
            let bits = bits.readiness();
            self.reactor.emit(|| Event::Ready { key, kind: kind.name, bits });
        }
        let call = if mark == Bits::QUEUED { kind.ready } else { kind.pending };
        let called = Interrupted { core: self, key, mark };
        let core = &mut *called.core;
        core.call_if::<WATCHED>(key, kind.name, |core| {
            call(&mut Dispatch::lending(core, scratch), key, data);
        });
        called.returned();
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
    fn call_if<const WATCHED: bool>(
        &mut self,
        key: Key,
        kind: &'static str,
        call: impl FnOnce(&mut Core),
    ) {
        self.reactor.calls += 1;
        self.reactor.read = None;
        let before = if WATCHED { self.reactor.clock() } else { 0 };
        call(self);
        self.settle();
        if WATCHED {
            self.reactor.tell_took(before, |metrics, took| {
                metrics.longest_call = metrics.longest_call.max(took);
                Event::Called { key, kind, took }
            });
        }
    }

    #[inline(always)]
    fn run_closing<const WATCHED: bool>(&mut self) {
        self.reactor.closing.open_batch();
        while let Some(key) = self.reactor.closing.take() {
            let Some(slot) = self.reactor.table.get(key) else { continue };
            let Some(kind) = slot.kind else { continue };
            let data = slot.data;
            let ending = Ending { core: self, key };
            ending.core.call_if::<WATCHED>(key, kind.name, |core| {
                (kind.closed)(&mut Dispatch::new(core), key, data);
            });
        }
    }

    fn run_timers(&mut self) {
        if self.timers.has_any() {
            self.reactor.now = self.reactor.recent();
            timers::run_due(&mut Dispatch::new(self));
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
    pub(crate) fn empty_graveyard(&mut self) {
        while let Some(buried) = self.reactor.graveyard.dig() {
            match buried {
                Buried::Panic { payload } => std::panic::resume_unwind(payload),
                other => drop(other),
            }
        }
    }

    fn settle_slowly(&mut self) {
        loop {
            // What runs here takes its time as any call does.
            self.reactor.read = None;
            self.empty_graveyard();
            let Some(tick) = self.ticks.take() else { return };
            tick(&mut Cx::new(self));
        }
    }
}

/// A dispatch that a panic may interrupt, be it a tick's: dropping it queues the
/// handle again, so that what its dispatch had left to do is done in the next run.
struct Interrupted<'a> {
    core: &'a mut Core,
    key: Key,
    mark: Bits,
}

impl Interrupted<'_> {
    #[inline]
    fn returned(self) {
        std::mem::forget(self);
    }
}

impl Drop for Interrupted<'_> {
    #[cold]
    fn drop(&mut self) {
        let mut d = Driver { r: &mut self.core.reactor };
        if self.mark == Bits::QUEUED { d.queue(self.key) } else { d.pend(self.key) }
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
