//! Signals of the process, as callbacks in the loop.
//!
//! The installed signal handler only sets a bit and writes to a self-pipe, which is a handle of the
//! loop (`sys/`): the poller's waker may take locks. The ready pass then calls each watcher of that
//! number, in start order. Several signals of one number that come before the loop looks are one.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;

use mio::Interest;
use slab::Slab;

use crate::core::cx::Cx;
use crate::core::driver::Driver;
use crate::core::kind::{Dispatch, Kind};
use crate::core::state::Core;
use crate::handles::remote::Remote;
use crate::store::key::Key;
use crate::sys::signal::{Registration, SelfPipe};
use crate::sys::{self, LayerId};

static SIGNAL: Kind = Kind::new("signal", SIGNALS.owner())
    .close(|cx, key, n| {
        let core = cx.core_mut();
        end(core, key, n);
        Ok(())
    })
    .describe(|cx, _, n| match cx.core_mut().own.get(&SIGNALS).watchers.get(n as usize) {
        Some(watcher) => sys::signals::describe(watcher.number),
        None => String::new(),
    });

static SELF_PIPE: Kind = Kind::new("self-pipe", SIGNALS.owner())
    .ready(|d, _, _| {
        // Drain first: a signal that comes later writes again.
        if let Some(self_pipe) = &mut d.core.own.get(&SIGNALS).self_pipe {
            self_pipe.drain();
        }
        deliver(d);
    })
    // On systems where signals come in a thread of their own.
    .notified(|d, _, _| deliver(d))
    .describe(|_, _, _| "signals".into());

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

pub(crate) static SIGNALS: LayerId<Signals> = LayerId::new(Signals::default);

#[derive(Default)]
pub(crate) struct Signals {
    /// There from the first watcher on.
    self_pipe: Option<SelfPipe>,
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
    /// default. End it with [`close`](Cx::close).
    ///
    /// A watcher does not keep the loop alive, so that a program whose SIGTERM closes its server
    /// ends when the connections have. If the loop waits only for a signal,
    /// [`set_ref`](Cx::set_ref) makes the watcher keep it alive.
    ///
    /// When the last watcher of a number in the process is closed, or its loop is dropped, the
    /// signal does again what it did by default: a second SIGTERM, after a
    /// [`signal_once`](Cx::signal_once), ends the process. This does not happen if the signal had a
    /// handler, or was ignored, when the number was first watched; nor if another handler was
    /// installed since; nor for the real-time signals of Linux. The loop cannot see a library that
    /// begins to watch the number later through signal-hook: keep a watcher open as long as that
    /// library needs the signal.
    ///
    /// Errors: `InvalidInput` for a number that is not a signal, or that cannot be watched
    /// (`SIGKILL`, `SIGSTOP`, `SIGILL`, `SIGFPE`, `SIGSEGV`).
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop, signals};
    /// let mut lp = Loop::new()?;
    /// lp.signal(signals::SIGTERM, |cx, _, number| {
    ///     println!("{}: closing", signals::name(number).unwrap_or("a signal"));
    ///     cx.close_all();
    /// })?;
    /// lp.run()?; // nothing else is there to wait for
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
    /// let hup = lp.signal_once(tidegate_loop::signals::SIGINT, |_, _, _| println!("reload"))?;
    /// lp.close(hup)?;
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
        let n = core.own.get(&SIGNALS).watchers.vacant_key();
        let ready = register(core, number).and_then(|()| {
            let mut d = Driver::new(&mut core.reactor);
            let mut handle = d.insert(&SIGNAL, n as u64)?;
            handle.set_ref(false);
            Ok(handle.key())
        });
        match ready {
            Ok(key) => {
                let start = core.own.get(&SIGNALS).starts;
                core.own.get(&SIGNALS).starts += 1;
                core.own.get(&SIGNALS).watchers.insert(Watcher {
                    key,
                    number,
                    once,
                    start,
                    callback: Some(f),
                });
                Ok(SignalKey(key))
            }
            Err(e) => {
                core.reactor.graveyard.bury(f);
                Err(e)
            }
        }
    }
}

/// Makes sure that the number writes to the self-pipe.
fn register(core: &mut Core, number: i32) -> io::Result<()> {
    let signals = core.own.get(&SIGNALS);
    if signals.registrations.iter().any(|r| r.number() == number) {
        return Ok(());
    }
    sys::signal::check(number)?;
    let self_pipe = match &signals.self_pipe {
        Some(self_pipe) => self_pipe,
        None => {
            let mut d = Driver::new(&mut core.reactor);
            let mut handle = d.insert(&SELF_PIPE, 0)?;
            handle.set_internal();
            let (remote, key) = (Remote::to(&core.inbox), handle.key());
            let notify = move || remote.notify(key);
            match SelfPipe::new(|source| handle.register(source, Interest::READABLE), notify) {
                Ok(self_pipe) => signals.self_pipe.insert(self_pipe),
                Err(e) => {
                    handle.free();
                    return Err(e);
                }
            }
        }
    };
    let (ring, caught) = (self_pipe.writer(), core.inbox.clone());
    let registration = Registration::new(number, move |bit| {
        caught.raise(bit);
        ring();
    })?;
    signals.registrations.push(registration);
    Ok(())
}

fn end(core: &mut Core, key: Key, n: u64) {
    let signals = core.own.get(&SIGNALS);
    core.reactor.free(key);
    let Some(watcher) = signals.watchers.try_remove(n as usize) else { return };
    if !signals.watchers.iter().any(|(_, w)| w.number == watcher.number) {
        signals.registrations.retain(|r| r.number() != watcher.number);
        // What came before is not for a later watcher.
        core.inbox.take_raised(bit(watcher.number));
    }
    if let Some(callback) = watcher.callback {
        core.reactor.graveyard.bury(callback);
    }
}

fn bit(number: i32) -> u64 {
    1 << (number - 1)
}

/// Calls the watchers of what was raised.
pub(crate) fn deliver(d: &mut Dispatch<'_>) {
    let raised = d.core.inbox.take_raised(u64::MAX);
    if raised != 0 {
        let signals = d.core.own.get(&SIGNALS);
        let mut due: Vec<&Watcher> = signals.watchers.iter().map(|(_, w)| w).collect();
        due.retain(|w| raised & bit(w.number) != 0);
        due.sort_by_key(|w| w.start);
        signals.due.extend(due.into_iter().map(|w| w.key));
    }
    while let Some(key) = d.core.own.get(&SIGNALS).due.pop_front() {
        let Some(n) = d.driver().data(SIGNALS.owner(), key) else { continue };
        let Some(watcher) = d.core.own.get(&SIGNALS).watchers.get_mut(n as usize) else { continue };
        let (number, once, callback) = (watcher.number, watcher.once, watcher.callback.take());
        if once {
            end(d.core, key, n);
        }
        if let Some(callback) = callback {
            let call = |mut cx: Cx<'_>, f: &mut SignalFn| f(&mut cx, SignalKey(key), number);
            let back = |d: &mut Dispatch<'_>, callback| put_back(d.core, key, callback);
            d.lend(callback, call, back, back);
        }
        d.settle();
    }
}

fn put_back(core: &mut Core, key: Key, callback: SignalFn) {
    let n = Driver::new(&mut core.reactor).data(SIGNALS.owner(), key);
    match n.and_then(|n| core.own.get(&SIGNALS).watchers.get_mut(n as usize)) {
        Some(watcher) => watcher.callback = Some(callback),
        None => core.reactor.graveyard.bury(callback),
    }
}
