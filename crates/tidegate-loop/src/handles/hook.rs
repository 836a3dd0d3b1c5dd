//! Hooks: callbacks that a phase of each turn runs. Idle and prepare come before
//! the poller is asked, check after what it said was handled. The order is in `store/hooks.rs`.
#![forbid(unsafe_code)]

use crate::core::cx::Cx;
use crate::core::kind::{Dispatch, Kind};
use crate::core::state::{Core, HookFn};
use crate::store::hooks::{Hook, HookKey};
use crate::store::key::Key;
use crate::sys::Owner;

static HOOKS: Owner = Owner::new();

macro_rules! kind {
    ($name:literal, $hook:expr) => {
        Kind::new($name, &HOOKS)
            .close(|cx, key, start| {
                end(cx.core_mut(), $hook, key, start);
                Ok(())
            })
            .describe(|_, _, _| "a hook".into())
    };
}

static KINDS: [Kind; 3] =
    [kind!("idle", Hook::Idle), kind!("prepare", Hook::Prepare), kind!("check", Hook::Check)];

impl Hook {
    pub(crate) fn kind(self) -> &'static Kind {
        &KINDS[self as usize]
    }
}

impl Cx<'_> {
    /// Calls `f` in the idle phase of each turn; while there is an idle hook, poll does not block.
    /// For work in the background. End it with [`close`](Cx::close).
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let mut left = 3;
    /// lp.idle(move |cx, me| {
    ///     left -= 1;
    ///     if left == 0 { cx.close(me).unwrap() }
    /// });
    /// lp.run()?;
    /// assert_eq!(lp.metrics().turns, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn idle(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.start_hook(Hook::Idle, Box::new(f))
    }

    /// Calls `f` in each turn right before the poller is asked.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let hook = lp.prepare(|cx, _| println!("turn {} will poll", cx.turn()));
    /// lp.set_ref(hook, false)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn prepare(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.start_hook(Hook::Prepare, Box::new(f))
    }

    /// Calls `f` in each turn after the ready pass.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let hook = lp.check(|cx, _| println!("turn {} has polled", cx.turn()));
    /// lp.set_ref(hook, false)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn check(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.start_hook(Hook::Check, Box::new(f))
    }

    fn start_hook(&mut self, hook: Hook, f: HookFn) -> HookKey {
        let start = self.core_mut().hooks.next_start();
        match self.driver().insert(hook.kind(), start) {
            Ok(handle) => {
                let key = handle.key();
                self.core_mut().hooks.insert(hook, key, f);
                HookKey(key)
            }
            Err(e) => HookKey(self.not_started("a hook", e, Box::new(f))),
        }
    }
}

fn end(core: &mut Core, hook: Hook, key: Key, start: u64) {
    if let Some(callback) = core.hooks.remove(hook, start) {
        core.reactor.graveyard.bury(callback);
    }
    core.reactor.free(key);
}

/// Runs the batch, including what a panic left of an earlier one.
pub(crate) fn run(d: &mut Dispatch<'_>, hook: Hook) {
    d.core.hooks.open_batch(hook);
    while let Some((start, key, callback)) = d.core.hooks.take(hook) {
        d.core.call(key, hook.kind().name(), |core| {
            let back = |d: &mut Dispatch<'_>, callback: HookFn| {
                if let Err(callback) = d.core.hooks.put_back(hook, start, callback) {
                    d.core.reactor.graveyard.bury(callback);
                }
            };
            Dispatch::new(core).lend(callback, |mut cx, f| f(&mut cx, HookKey(key)), back, back);
        });
    }
}
