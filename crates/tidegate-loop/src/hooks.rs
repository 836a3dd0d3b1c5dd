//! Hooks: callbacks that a phase of each turn runs. Idle and prepare come before
//! the poller is asked, check after what it said was handled.
//!
//! They run in start order (libuv: last started first). One that is started in its
//! own phase runs from the next turn on; one that is closed does not run again.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::closing::Buried;
use crate::cx::Cx;
use crate::dispatch::Dispatch;
use crate::driver::Driver;
use crate::table::{Key, Kind};
use crate::turn::Core;

pub(crate) type HookFn = Box<dyn FnMut(&mut Cx<'_>, HookKey)>;

/// Names a hook. Made by [`Cx::idle`], [`Cx::prepare`] and [`Cx::check`].
///
/// ```
/// use tidegate_loop::{AsCx, HookKey, Loop};
/// let mut lp = Loop::new()?;
/// let key: HookKey = lp.as_cx().prepare(|cx, me| { cx.close(me).unwrap() });
/// lp.run()?;
/// assert!(!lp.as_cx().is_open(key));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HookKey(pub(crate) Key);

impl From<HookKey> for Key {
    fn from(k: HookKey) -> Key {
        k.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hook {
    Idle,
    Prepare,
    Check,
}

macro_rules! kind {
    ($name:literal, $hook:expr) => {
        Kind {
            name: $name,
            ready: |_, _, _| {},
            pending: |_, _, _| {},
            close: |cx, key, start| {
                end(cx.core_mut(), $hook, key, start);
                Ok(())
            },
            closed: |_, _, _| {},
            describe: |_, _, _| "a hook".into(),
        }
    };
}

static KINDS: [Kind; 3] =
    [kind!("idle", Hook::Idle), kind!("prepare", Hook::Prepare), kind!("check", Hook::Check)];

impl Hook {
    pub(crate) fn kind(self) -> &'static Kind {
        &KINDS[self as usize]
    }
}

struct Entry {
    key: Key,
    /// `None` while it runs.
    callback: Option<HookFn>,
}

/// The hooks of one phase by start number, and the batch that runs or was
/// interrupted by a panic.
#[derive(Default)]
struct List {
    entries: BTreeMap<u64, Entry>,
    cursor: u64,
    end: u64,
}

#[derive(Default)]
pub(crate) struct Hooks {
    lists: [List; 3],
    starts: u64,
}

impl Hooks {
    /// The start number of the next `insert`.
    pub(crate) fn next_start(&self) -> u64 {
        self.starts
    }

    pub(crate) fn insert(&mut self, hook: Hook, key: Key, callback: HookFn) {
        let entry = Entry { key, callback: Some(callback) };
        self.lists[hook as usize].entries.insert(self.starts, entry);
        self.starts += 1;
    }

    pub(crate) fn remove(&mut self, hook: Hook, start: u64) -> Option<HookFn> {
        let list = &mut self.lists[hook as usize];
        let entry = list.entries.remove(&start)?;
        if list.entries.is_empty() {
            // Nothing is left of a batch, be it one that a panic interrupted.
            (list.cursor, list.end) = (0, 0);
        }
        entry.callback
    }

    /// Whether there is none of any phase.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.lists.iter().all(|list| list.entries.is_empty())
    }

    #[inline]
    pub(crate) fn has_any(&self, hook: Hook) -> bool {
        !self.lists[hook as usize].entries.is_empty()
    }

    /// What is started up to here is the batch, unless one is still to be
    /// finished.
    fn open_batch(&mut self, hook: Hook) {
        let list = &mut self.lists[hook as usize];
        if list.cursor >= list.end {
            list.cursor = 0;
            list.end = self.starts;
        }
    }

    fn take(&mut self, hook: Hook) -> Option<(u64, Key, HookFn)> {
        let list = &mut self.lists[hook as usize];
        loop {
            let next = list.entries.range_mut(list.cursor..list.end).next();
            let Some((start, entry)) = next else {
                list.cursor = list.end;
                return None;
            };
            list.cursor = start + 1;
            if let Some(callback) = entry.callback.take() {
                return Some((*start, entry.key, callback));
            }
        }
    }
}

/// A hook that is out for its call. Dropping it, also by a panic, puts it back.
struct Called<'a, 'b> {
    d: &'a mut Dispatch<'b>,
    hook: Hook,
    start: u64,
    callback: Option<HookFn>,
}

impl Drop for Called<'_, '_> {
    fn drop(&mut self) {
        let core = &mut *self.d.core;
        let Some(callback) = self.callback.take() else { return };
        match core.hooks.lists[self.hook as usize].entries.get_mut(&self.start) {
            Some(entry) => entry.callback = Some(callback),
            None => core.reactor.graveyard.bury(Buried::Hook { _callback: callback }),
        }
    }
}

fn end(core: &mut Core, hook: Hook, key: Key, start: u64) {
    if let Some(callback) = core.hooks.remove(hook, start) {
        core.reactor.graveyard.bury(Buried::Hook { _callback: callback });
    }
    Driver { r: &mut core.reactor }.free(hook.kind(), key);
}

/// Runs the batch, including what a panic left of an earlier one.
pub(crate) fn run(d: &mut Dispatch<'_>, hook: Hook) {
    d.core.hooks.open_batch(hook);
    while let Some((start, key, callback)) = d.core.hooks.take(hook) {
        d.core.call(key, hook.kind().name, |core| {
            let d = &mut Dispatch::new(core);
            let mut called = Called { d, hook, start, callback: Some(callback) };
            if let Some(f) = called.callback.as_mut() {
                f(&mut called.d.cx(), HookKey(key));
            }
        });
    }
}
