//! Signals: a callback in the loop for what the system interrupts a process with.
//!
//! The handler in the kernel's hands only sets a bit and wakes the loop (`sys/`); the
//! ready pass then calls each watcher of that number, in start order. Several signals
//! of one number that come before the loop looks are one.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;

use slab::Slab;

use crate::closing::Buried;
use crate::cx::Cx;
use crate::driver::Driver;
use crate::sys::signal::Registration;
use crate::table::{Key, Kind};
use crate::turn::Dispatch;

static SIGNAL: Kind = Kind {
    name: "signal",
    ready: |_, _, _| {},
    pending: |_, _, _| {},
    close: |cx, key, n| {
        let core = cx.core_mut();
        end(&mut core.signals, &mut Driver { r: &mut core.reactor }, key, n);
        Ok(())
    },
    closed: |d, key, n| {
        let core = &mut *d.core;
        end(&mut core.signals, &mut Driver { r: &mut core.reactor }, key, n);
    },
    describe: |cx, _, n| match cx.core_mut().signals.watchers.get(n as usize) {
        Some(watcher) => format!("number {}", watcher.number),
        None => String::new(),
    },
};

pub(crate) type SignalFn = Box<dyn FnMut(&mut Cx<'_>, SignalKey, i32)>;

/// Names a watcher of a signal. Made by [`Cx::signal`].
///
/// ```
/// use tidegate_loop::{Key, SignalKey};
/// assert_eq!(size_of::<SignalKey>(), size_of::<Key>());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SignalKey(Key);

impl From<SignalKey> for Key {
    fn from(k: SignalKey) -> Key {
        k.0
    }
}

struct Watcher {
    key: Key,
    number: i32,
    once: bool,
    /// Start number: they are called in this order.
    start: u64,
    /// `None` while it runs.
    callback: Option<SignalFn>,
}

#[derive(Default)]
pub(crate) struct Signals {
    watchers: Slab<Watcher>,
    /// One for each number that is watched.
    registrations: Vec<Registration>,
    /// Calls of a batch that runs, or was interrupted by a panic.
    due: VecDeque<Key>,
    starts: u64,
}

impl Cx<'_> {
    /// Calls `f` in the ready pass after the process got this signal. Several may watch
    /// the same number, in several loops. The signal no longer does what it did by
    /// default. A watcher keeps the loop alive; end it with [`close`](Cx::close).
    ///
    /// Errors: `InvalidInput` for a number that is none, or that cannot be watched
    /// (`SIGKILL`, `SIGSTOP`, `SIGILL`, `SIGFPE`, `SIGSEGV`).
    ///
    /// ```
    /// use tidegate_loop::signals::SIGTERM;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let term = lp.as_cx().signal(SIGTERM, |cx, _, number| {
    ///     println!("signal {number}: closing");
    ///     cx.close_all();
    /// })?;
    /// lp.as_cx().set_ref(term, false)?; // alone it is no reason to run
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(
        &mut self,
        number: i32,
        f: impl FnMut(&mut Cx<'_>, SignalKey, i32) + 'static,
    ) -> io::Result<SignalKey> {
        self.watch_signal(number, false, Box::new(f))
    }

    /// As [`signal`](Cx::signal), for the next one only.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let hup = lp.as_cx().signal_once(tidegate_loop::signals::SIGINT, |_, _, _| println!("reload"))?;
    /// lp.as_cx().close(hup)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal_once(
        &mut self,
        number: i32,
        f: impl FnMut(&mut Cx<'_>, SignalKey, i32) + 'static,
    ) -> io::Result<SignalKey> {
        self.watch_signal(number, true, Box::new(f))
    }

    fn watch_signal(&mut self, number: i32, once: bool, f: SignalFn) -> io::Result<SignalKey> {
        let core = self.core_mut();
        let (signals, remote) = (&mut core.signals, &core.remote);
        let mut d = Driver { r: &mut core.reactor };
        let registered = if signals.registrations.iter().any(|r| r.number() == number) {
            Ok(())
        } else {
            let caught = remote.clone();
            Registration::new(number, move |bit| caught.raise(bit))
                .map(|r| signals.registrations.push(r))
        };
        let entry = signals.watchers.vacant_entry();
        let n = entry.key() as u64;
        match registered.and_then(|()| d.insert(&SIGNAL, n).map_err(io::Error::from)) {
            Ok(key) => {
                let start = signals.starts;
                signals.starts += 1;
                entry.insert(Watcher { key, number, once, start, callback: Some(f) });
                Ok(SignalKey(key))
            }
            Err(e) => {
                d.r.graveyard.bury(Buried::Signal { _callback: f });
                Err(e)
            }
        }
    }
}

fn end(signals: &mut Signals, d: &mut Driver<'_>, key: Key, n: u64) {
    d.free(&SIGNAL, key);
    let Some(watcher) = signals.watchers.try_remove(n as usize) else { return };
    if !signals.watchers.iter().any(|(_, w)| w.number == watcher.number) {
        signals.registrations.retain(|r| r.number() != watcher.number);
    }
    if let Some(callback) = watcher.callback {
        d.r.graveyard.bury(Buried::Signal { _callback: callback });
    }
}

/// A callback that is out for its call. Dropping it, also by a panic, puts it back.
struct Called<'a, 'b> {
    d: &'a mut Dispatch<'b>,
    key: Key,
    callback: Option<SignalFn>,
}

impl Drop for Called<'_, '_> {
    fn drop(&mut self) {
        let core = &mut *self.d.core;
        let Some(callback) = self.callback.take() else { return };
        let d = Driver { r: &mut core.reactor };
        match d.data(self.key).and_then(|n| core.signals.watchers.get_mut(n as usize)) {
            Some(watcher) => watcher.callback = Some(callback),
            None => d.r.graveyard.bury(Buried::Signal { _callback: callback }),
        }
    }
}

/// Calls the watchers of what was raised.
pub(crate) fn deliver(d: &mut Dispatch<'_>) {
    let raised = d.core.remote.take_raised();
    if raised != 0 {
        let signals = &mut d.core.signals;
        let mut due: Vec<&Watcher> = signals.watchers.iter().map(|(_, w)| w).collect();
        due.retain(|w| raised & (1 << (w.number - 1)) != 0);
        due.sort_by_key(|w| w.start);
        signals.due.extend(due.into_iter().map(|w| w.key));
    }
    while let Some(key) = d.core.signals.due.pop_front() {
        let Some(n) = d.driver().data(key) else { continue };
        let Some(watcher) = d.core.signals.watchers.get_mut(n as usize) else { continue };
        let (number, once, callback) = (watcher.number, watcher.once, watcher.callback.take());
        if once {
            let core = &mut *d.core;
            end(&mut core.signals, &mut Driver { r: &mut core.reactor }, key, n);
        }
        let mut called = Called { d, key, callback };
        if let Some(f) = called.callback.as_mut() {
            f(&mut called.d.cx(), SignalKey(key), number);
        }
        drop(called);
        d.settle();
    }
}
