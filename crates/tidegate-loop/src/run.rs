//! [`Loop`]: the owner of everything, how it is made, and the ways to run it. What a turn does
//! is in `turn.rs`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::Interest;
use mio::event::Source;

use crate::as_cx::AsCx;
use crate::builder::Builder;
use crate::core::cx::Cx;
use crate::core::due::Mode;
use crate::core::kind::Dispatch;
use crate::core::kind::VACANT;
use crate::core::state::{Core, Reactor};
use crate::handles::any::HandleInfo;
use crate::handles::keep_alive::{KEEP_ALIVES, KeepAlive};
use crate::handles::remote::INBOX;
use crate::handles::share::VALUES;
#[cfg(feature = "signal")]
use crate::handles::signal::SIGNALS;
use crate::handles::timer;
use crate::handles::watch::{ReadyGuard, WATCHES, WatchKey};
#[cfg(feature = "work")]
use crate::handles::work::{WORKS, Works};
use crate::limits::Limits;
use crate::loop_id;
use crate::metrics::Metrics;
use crate::observe::Observer;
use crate::phase::Phase;
use crate::store::hooks::{HookKey, Hooks};
use crate::store::key::{Key, KeyError, TableFull};
use crate::store::readiness::Readiness;
use crate::store::table::Table;
use crate::store::ticks::Ticks;
use crate::store::timers::Timers;
use crate::sys::{BackendFd, LayerStates};
use crate::threads::inbox::Inbox;

/// The event loop: it owns every handle, closure and descriptor. Not `Send`;
/// several loops in several threads are fine.
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// lp.next_tick(|_| println!("hello from the loop"));
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Loop {
    core: Core,
}

impl AsCx for Loop {
    fn cx(&mut self) -> Cx<'_> {
        Cx::new(&mut self.core)
    }
}

impl Loop {
    /// A loop with the default [`Limits`].
    pub fn new() -> io::Result<Loop> {
        Loop::builder().build()
    }

    /// A builder, to set limits.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// For tests: a loop whose clock the test moves, and whose poller also reports events that the
    /// test scripts. Feature `test-util`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let (mut lp, _script) = Loop::scripted()?;
    /// let mut days = 0;
    /// lp.interval(Duration::from_secs(86_400), move |cx, me| {
    ///     days += 1;
    ///     if days == 365 { cx.close(me).unwrap() }
    /// });
    /// lp.run()?; // a year, at once
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(any(test, feature = "test-util"))]
    pub fn scripted() -> io::Result<(Loop, crate::script::Script)> {
        let mut lp = Loop::new()?;
        let script = crate::script::Script::default();
        lp.core.reactor.script = Some(script.clone());
        Ok((lp, script))
    }

    /// For tests: the table has no more rows than those of now and so many others. It is full when
    /// all are in use, which otherwise takes 16,777,215 handles. Feature `test-util`.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.limit_rows(1);
    /// assert!(lp.share(1).is_ok());
    /// assert!(lp.share(2).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(any(test, feature = "test-util"))]
    pub fn limit_rows(&mut self, more: usize) {
        let table = &mut self.core.reactor.table;
        table.capacity = table.rows() + more;
    }

    pub(crate) fn with_limits(limits: Limits) -> io::Result<Loop> {
        let (id, generation) = loop_id::lease()?;
        let made = Loop::with_id(id, generation, limits);
        if made.is_err() {
            loop_id::give_back(id, Some(generation));
        }
        made
    }

    fn with_id(id: u16, generation: u32, limits: Limits) -> io::Result<Loop> {
        let poll = mio::Poll::new()?;
        let mut table = Table::new(id, generation, &VACANT);
        let inbox_key = table.insert(&INBOX, 0, 0, Readiness::NONE)?;
        table.mark_internal(inbox_key);
        let inbox = Arc::new(Inbox::new(&poll, inbox_key, limits.inbox_limit)?);
        Ok(Loop {
            core: Core {
                layers: LayerStates::default(),
                timers: Timers::default(),
                hooks: Hooks::default(),
                own: own_layers(&limits),
                ticks: Ticks::default(),
                posts: VecDeque::new(),
                inbox_key,
                inbox,
                stop: false,
                failure: None,
                was_stopped: false,
                scratch: Vec::new(),
                next: 0,
                opened: false,
                had_effects: false,
                reactor: Reactor::new(poll, table, limits),
            },
        })
    }

    /// Runs turns until nothing is left that could call back, or until [`Cx::stop`].
    ///
    /// A panic of a callback unwinds out of this call; the loop can run again, and then goes on
    /// where it was interrupted.
    ///
    /// Returns an error if a callback called [`Cx::stop_with`], or if polling fails. No state is
    /// lost: the loop can run again. After polling failed on Windows it cannot, and each later run
    /// returns an error.
    pub fn run(&mut self) -> io::Result<()> {
        let running = Running::enter(&mut self.core);
        let core = &mut *running.core;
        if core.may_turn() {
            core.ticks.open_turn(core.reactor.limits.tick_budget);
            core.settle();
            core.reactor.phase = Phase::Timers;
            core.reactor.now = core.reactor.recent();
            timer::run_due(&mut Dispatch::new(core));
        }
        while core.may_turn() {
            core.turn(Mode::Default)?;
        }
        core.failure.take().map_or(Ok(()), Err)
    }

    /// Runs one turn, which waits for something to happen. It does not wait if there was an effect
    /// of an earlier call when it began (libuv: pending callbacks). Returns whether more can
    /// happen. After a panic it runs the rest of the interrupted turn.
    pub fn run_once(&mut self) -> io::Result<bool> {
        self.one(|core| core.turn(Mode::Once))
    }

    /// Runs one turn with what is ready now. Returns whether more can happen.
    pub fn run_nowait(&mut self) -> io::Result<bool> {
        self.one(|core| core.turn(Mode::NoWait))
    }

    /// Runs one phase of a turn, and returns which one it was and what it did. The poll phase
    /// waits, as in [`run_once`](Loop::run_once). The next run goes on with the phase after it.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop, Phase};
    /// let mut lp = Loop::new()?;
    /// lp.idle(|cx, me| cx.close(me).unwrap());
    /// let (first, second) = (lp.run_phase()?, lp.run_phase()?);
    /// assert_eq!((first.phase, first.calls), (Phase::Pending, 0));
    /// assert_eq!((second.phase, second.calls), (Phase::Idle, 1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn run_phase(&mut self) -> io::Result<PhaseReport> {
        let before = self.core.reactor.calls;
        let mut phase = Phase::Outside;
        self.one(|core| {
            phase = core.next_phase();
            let done = core.step_alone(Mode::Once);
            // The turn may be left here: what moved in it moved before now.
            core.reactor.recent();
            done
        })?;
        let reactor = &self.core.reactor;
        Ok(PhaseReport { turn: reactor.turn, phase, calls: reactor.calls - before })
    }

    fn one(&mut self, f: impl FnOnce(&mut Core) -> io::Result<()>) -> io::Result<bool> {
        let running = Running::enter(&mut self.core);
        if running.core.may_turn() {
            f(running.core)?;
        }
        if let Some(e) = running.core.failure.take() {
            return Err(e);
        }
        drop(running);
        Ok(self.is_alive())
    }

    /// The descriptor that becomes readable when the loop has something to do, to be
    /// watched by another event loop: then, or when
    /// [`backend_timeout`](Loop::backend_timeout) has passed, call
    /// [`run_nowait`](Loop::run_nowait). `None` where the system's poller has none
    /// (poll(2), Windows).
    ///
    /// ```
    /// let lp = tidegate_loop::Loop::new()?;
    /// if let Some(fd) = lp.backend_fd() {
    ///     println!("watch {fd:?}");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn backend_fd(&self) -> Option<BackendFd<'_>> {
        self.core.reactor.backend_fd()
    }

    /// How long the next poll would wait: zero if something is due, `None` if it would wait without
    /// a limit. Ask again after each run, and after each call from outside that starts something.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// assert_eq!(lp.backend_timeout(), Some(Duration::ZERO), "nothing to wait for");
    /// lp.timer(Duration::from_secs(1), |_, _| {});
    /// assert!(lp.backend_timeout().unwrap() > Duration::from_millis(900));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn backend_timeout(&self) -> Option<Duration> {
        if self.core.inbox.has_any() {
            return Some(Duration::ZERO);
        }
        self.core.timeout(Mode::Default, self.core.reactor.clock())
    }

    /// Whether anything is left that could call back: referenced handles,
    /// handles that close, work that is queued, pending effects, ticks, posts.
    pub fn is_alive(&self) -> bool {
        self.core.is_alive()
    }

    /// Open handles, the closing ones included.
    pub fn handles(&self) -> usize {
        self.core.reactor.table.len()
    }

    /// What keeps the loop alive: [`Cx::why_alive`].
    pub fn why_alive(&mut self) -> Vec<HandleInfo> {
        self.cx().why_alive()
    }

    /// Every handle there is: [`Cx::walk`].
    pub fn walk(&mut self) -> Vec<HandleInfo> {
        self.cx().walk()
    }

    /// Whether the key names a handle that is open or closing: [`Cx::is_open`].
    pub fn is_open(&self, key: impl Into<Key>) -> bool {
        self.core.reactor.table.check(key.into()).is_ok()
    }

    /// Whether [`Cx::stop`] ended the last run: any of `run`, `run_once`, `run_nowait` and
    /// `run_phase`.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.next_tick(|cx| cx.stop());
    /// lp.run()?;
    /// assert!(lp.was_stopped());
    /// lp.run()?;
    /// assert!(!lp.was_stopped(), "it had nothing left to do");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn was_stopped(&self) -> bool {
        self.core.was_stopped
    }

    /// Makes the next `run` return at once: [`Cx::stop`].
    pub fn stop(&mut self) {
        self.cx().stop();
    }

    /// Ends a handle of any kind: [`Cx::close`].
    pub fn close(&mut self, key: impl Into<Key>) -> Result<(), KeyError> {
        self.cx().close(key)
    }

    /// Closes every handle there is: [`Cx::close_all`].
    pub fn close_all(&mut self) {
        self.cx().close_all();
    }

    /// Whether a handle keeps the loop alive: [`Cx::set_ref`].
    pub fn set_ref(&mut self, key: impl Into<Key>, keep_alive: bool) -> Result<(), KeyError> {
        self.cx().set_ref(key, keep_alive)
    }

    /// Keeps the loop alive until the returned value is dropped: [`Cx::keep_alive`].
    pub fn keep_alive(&mut self, name: impl Into<String>) -> Result<KeepAlive, TableFull> {
        self.cx().keep_alive(name)
    }

    /// Calls `f` in the idle phase of each turn: [`Cx::idle`].
    pub fn idle(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.cx().idle(f)
    }

    /// Calls `f` in each turn right before the poller is asked: [`Cx::prepare`].
    pub fn prepare(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.cx().prepare(f)
    }

    /// Calls `f` in each turn after the ready pass: [`Cx::check`].
    pub fn check(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.cx().check(f)
    }

    /// Calls `f` when a source of your own is ready: [`Cx::watch`].
    pub fn watch<S: Source + 'static>(
        &mut self,
        source: S,
        interest: Interest,
        f: impl FnMut(&mut Cx<'_>, WatchKey, &mut S, &mut ReadyGuard) + 'static,
    ) -> io::Result<WatchKey> {
        self.cx().watch(source, interest, f)
    }

    /// Changes what a watcher is called for: [`Cx::watch_for`].
    pub fn watch_for(
        &mut self,
        key: WatchKey,
        interest: impl Into<Option<Interest>>,
    ) -> io::Result<()> {
        self.cx().watch_for(key, interest)
    }

    /// The limits this loop was made with.
    pub fn limits(&self) -> &Limits {
        &self.core.reactor.limits
    }

    /// The loop's counters.
    pub fn metrics(&self) -> Metrics {
        self.core.reactor.metrics()
    }

    /// Sends every event of every layer to `observer`, which replaces an earlier one.
    pub fn observe(&mut self, observer: impl Observer) {
        self.core.reactor.set_observer(Box::new(observer));
    }
}

impl Builder {
    /// Opens the poller. Fails if a limit cannot work ([`LimitError`](crate::LimitError)) or the
    /// system has no descriptors left.
    pub fn build(self) -> io::Result<Loop> {
        self.limits.check()?;
        for layer in &self.layers {
            layer.check()?;
        }
        let mut lp = Loop::with_limits(self.limits)?;
        let busy_poll = self.busy_poll.as_nanos();
        lp.core.reactor.busy_poll = u64::try_from(busy_poll).unwrap_or(u64::MAX);
        for layer in &self.layers {
            layer.set(&mut lp.cx());
        }
        Ok(lp)
    }
}

/// The states of the layers in `handles/`. The order of their indices is the reverse of the order
/// of their end: watchers first, the threads of the pool last.
fn own_layers(limits: &Limits) -> LayerStates {
    let own = LayerStates::default();
    #[cfg(feature = "work")]
    let own = own.with(&WORKS, Works::new(limits));
    #[cfg(not(feature = "work"))]
    let _ = limits;
    #[cfg(feature = "signal")]
    SIGNALS.index();
    KEEP_ALIVES.index();
    VALUES.index();
    WATCHES.index();
    own
}

/// A loop that runs. Dropping it, also by a panic, ends the run.
struct Running<'a> {
    core: &'a mut Core,
}

impl Running<'_> {
    fn enter(core: &mut Core) -> Running<'_> {
        let running = Running { core };
        // Left of a run that panicked, or called outside of one.
        running.core.stop |= running.core.failure.is_some();
        // What calls from outside displaced; a loop with nothing to do takes no turn.
        running.core.empty_graveyard();
        // Time outside of a run is not the loop's.
        running.core.reactor.enter();
        running
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.core.was_stopped = std::mem::take(&mut self.core.stop);
        if std::thread::panicking() {
            self.core.reactor.metrics.panics += 1;
            // When the turn ended that was interrupted.
            self.core.reactor.recent();
        }
        self.core.reactor.phase = Phase::Outside;
    }
}

/// What one phase did. See [`Loop::run_phase`].
///
/// ```
/// let step = tidegate_loop::Loop::new()?.run_phase()?;
/// assert_eq!(step.phase, tidegate_loop::Phase::Outside, "nothing is left to do");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PhaseReport {
    /// The turn, counted from 1.
    pub turn: u64,
    /// The phase that ran; [`Phase::Outside`] if there was nothing left to do.
    pub phase: Phase,
    /// Handles that were called; in the poll phase, events that came.
    pub calls: u64,
}

impl Drop for Loop {
    /// Posts fail from here on. Descriptors are closed and user values dropped;
    /// no callback runs.
    fn drop(&mut self) {
        drop(self.core.inbox.close());
        let (id, generation) = self.core.reactor.table.lease_ends();
        loop_id::give_back(id, generation);
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop")
            .field("turn", &self.core.reactor.turn)
            .field("phase", &self.core.reactor.phase)
            .field("handles", &self.handles())
            .finish_non_exhaustive()
    }
}
