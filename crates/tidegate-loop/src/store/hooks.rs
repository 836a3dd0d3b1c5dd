//! The hooks of three phases, in start order (libuv: last started first). One that is started
//! in its own phase runs from the next turn on; one that is closed does not run again.
//!
//! What hooks are for and how they run is in `handles/hook.rs`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::store::key::Key;

/// Names a hook. Made by [`Cx::idle`](crate::Cx::idle), [`Cx::prepare`](crate::Cx::prepare) and
/// [`Cx::check`](crate::Cx::check).
///
/// ```
/// use tidegate_loop::{AsCx, HookKey, Loop};
/// let mut lp = Loop::new()?;
/// let key: HookKey = lp.prepare(|cx, me| { cx.close(me).unwrap() });
/// lp.run()?;
/// assert!(!lp.is_open(key));
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

struct Entry<F> {
    key: Key,
    /// `None` while it runs.
    callback: Option<F>,
}

/// The hooks of one phase by start number, and the batch that runs or was
/// interrupted by a panic.
struct List<F> {
    entries: BTreeMap<u64, Entry<F>>,
    cursor: u64,
    end: u64,
}

/// The hooks of a loop, with callbacks of type `F`.
pub(crate) struct Hooks<F> {
    lists: [List<F>; 3],
    starts: u64,
}

impl<F> Default for Hooks<F> {
    fn default() -> Hooks<F> {
        let lists = [(); 3].map(|()| List { entries: BTreeMap::new(), cursor: 0, end: 0 });
        Hooks { lists, starts: 0 }
    }
}

impl<F> Hooks<F> {
    /// The start number of the next `insert`.
    pub(crate) fn next_start(&self) -> u64 {
        self.starts
    }

    pub(crate) fn insert(&mut self, hook: Hook, key: Key, callback: F) {
        let entry = Entry { key, callback: Some(callback) };
        self.lists[hook as usize].entries.insert(self.starts, entry);
        self.starts += 1;
    }

    pub(crate) fn remove(&mut self, hook: Hook, start: u64) -> Option<F> {
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
    pub(crate) fn open_batch(&mut self, hook: Hook) {
        let list = &mut self.lists[hook as usize];
        if list.cursor >= list.end {
            list.cursor = 0;
            list.end = self.starts;
        }
    }

    pub(crate) fn take(&mut self, hook: Hook) -> Option<(u64, Key, F)> {
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

    /// Puts a callback back after its call; returns it if the hook was closed meanwhile.
    pub(crate) fn put_back(&mut self, hook: Hook, start: u64, callback: F) -> Result<(), F> {
        match self.lists[hook as usize].entries.get_mut(&start) {
            Some(entry) => {
                entry.callback = Some(callback);
                Ok(())
            }
            None => Err(callback),
        }
    }
}
