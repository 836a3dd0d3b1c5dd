//! [`Around`]: what is current while the callbacks of a handle run.
//!
//! Calls do not nest. A call that panics has no end: then the next one ends it.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use opentelemetry::{Context, ContextGuard};
use tidegate_loop::Key;

/// What can be current.
pub(crate) trait Attach {
    type Guard;

    fn attach(&self) -> Self::Guard;
}

impl Attach for Context {
    type Guard = ContextGuard;

    fn attach(&self) -> ContextGuard {
        self.clone().attach()
    }
}

pub(crate) struct Around<C: Attach> {
    of: HashMap<Key, C>,
    called: Option<Key>,
    guard: Option<C::Guard>,
}

impl<C: Attach> Default for Around<C> {
    fn default() -> Around<C> {
        Around { of: HashMap::new(), called: None, guard: None }
    }
}

impl<C: Attach> Around<C> {
    /// This handle is about to be called.
    pub(crate) fn calling(&mut self, key: Key) {
        self.leave();
        self.called = Some(key);
        self.guard = self.of.get(&key).map(Attach::attach);
    }

    /// The call is over.
    pub(crate) fn leave(&mut self) {
        self.guard = None;
        self.called = None;
    }

    /// From now on this is current in the handle's calls; also for the rest of this one.
    pub(crate) fn set(&mut self, key: Key, current: C) {
        if self.called == Some(key) {
            // The one before goes first.
            self.guard = None;
            self.guard = Some(current.attach());
        }
        self.of.insert(key, current);
    }

    /// In later calls this is current.
    #[cfg(feature = "tracing")]
    pub(crate) fn later(&mut self, key: Key, current: C) {
        self.of.insert(key, current);
    }

    /// In later calls nothing is current.
    pub(crate) fn remove(&mut self, key: Key) {
        self.of.remove(&key);
    }
}
