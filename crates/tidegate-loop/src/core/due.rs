//! What there is to do: whether the loop is alive, how long a poll may wait, which phases have work.
//! It only looks; what is done is in `turn.rs`.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::core::state::Core;
use crate::phase::Phase;
use crate::store::hooks::Hook;

/// How long a turn may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Default,
    /// A turn that began with effects to deliver does not wait.
    Once,
    NoWait,
}

impl Core {
    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        self.reactor.alive > 0 || self.has_more()
    }

    /// Whether something is to be done for no handle that is referenced.
    #[inline(never)]
    fn has_more(&self) -> bool {
        !self.ticks.is_empty()
            || !self.reactor.pending.is_empty()
            || !self.reactor.closing.is_empty()
            || self.inbox.has_any()
            || !self.posts.is_empty()
            || self.reactor.has_work_queued()
    }

    pub(crate) fn may_turn(&self) -> bool {
        self.is_alive() && !self.stop
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

    /// Whether there is no effect to deliver, and no hook.
    #[inline]
    pub(crate) fn passes_by(&self) -> bool {
        self.reactor.pending.is_empty() && self.hooks.is_empty()
    }

    #[inline]
    pub(crate) fn has_closing(&self) -> bool {
        !self.reactor.closing.is_empty()
    }

    /// Whether this phase would do nothing. Looking at the clock for it would take longer.
    pub(crate) fn has_nothing_in(&self, phase: Phase) -> bool {
        match phase {
            Phase::Pending => self.reactor.pending.is_empty(),
            Phase::Idle => !self.hooks.has_any(Hook::Idle),
            Phase::Prepare => !self.hooks.has_any(Hook::Prepare),
            Phase::Check => !self.hooks.has_any(Hook::Check),
            Phase::Closing => !self.has_closing(),
            Phase::Timers => !self.timers.has_any(),
            Phase::Poll | Phase::Ready | Phase::Outside => false,
        }
    }
}
