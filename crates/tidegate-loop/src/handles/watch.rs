//! Watchers: a source of the user's, registered with the poller, and its callback.
//! For descriptors that no layer above knows: pipes, eventfds, devices, another
//! library's sockets.
//!
//! The bits are sticky, so a callback that stops early is called again in the next
//! turn. All I/O goes through [`ReadyGuard::try_io`]: it is how the loop learns that
//! the kernel has no more.
#![forbid(unsafe_code)]

use std::any::Any;
use std::io;

use mio::Interest;
use mio::event::Source;
use slab::Slab;

use crate::core::cx::Cx;
use crate::core::driver::Driver;
use crate::core::handle::Handle;
use crate::core::kind::{Dispatch, Kind};
use crate::core::runtime::Runtime;
use crate::core::state::Core;
use crate::one_line::OneLine;
use crate::store::key::{Key, KeyError};
use crate::store::readiness::Readiness;
use crate::sys;
use crate::sys::LayerId;

static WATCH: Kind = Kind::new("watch", WATCHES.owner())
    .ready(ready)
    .close(|cx, key, n| {
        end_entry(cx.core_mut(), key, n);
        Ok(())
    })
    .describe(|cx, _, entry| match cx.core_mut().own.get(&WATCHES).0.get(entry as usize) {
        Some(entry) => format!("a source, {:?}", entry.interest),
        None => String::new(),
    });

/// Names a watcher. Made by [`Cx::watch`].
///
/// ```
/// use tidegate_loop::{Key, WatchKey};
/// assert_eq!(size_of::<WatchKey>(), size_of::<Key>());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatchKey(Key);

impl From<WatchKey> for Key {
    fn from(k: WatchKey) -> Key {
        k.0
    }
}

/// What is known of a source while its callback runs, and the only way to do I/O
/// on it.
///
/// ```
/// use std::io::{self, Read};
/// use tidegate_loop::event::{Interest, ReadyGuard};
/// /// Reads until the kernel has no more.
/// fn drain(source: &mut impl Read, ready: &mut ReadyGuard) -> io::Result<usize> {
///     let (mut all, mut buffer) = (0, [0; 4096]);
///     loop {
///         match ready.try_io(Interest::READABLE, || source.read(&mut buffer)) {
///             Ok(0) => return Ok(all),
///             Ok(n) => all += n,
///             Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(all),
///             Err(e) => return Err(e),
///         }
///     }
/// }
/// # let _: fn(&mut io::Empty, &mut ReadyGuard) -> io::Result<usize> = |s, r| drain(s, r);
/// ```
#[derive(Debug)]
pub struct ReadyGuard {
    bits: Readiness,
    /// What met `WouldBlock`.
    drained: Readiness,
}

fn bits_of(interest: Interest) -> Readiness {
    let mut bits = Readiness::NONE;
    if interest.is_readable() {
        bits |= Readiness::READABLE;
    }
    if interest.is_writable() {
        bits |= Readiness::WRITABLE;
    }
    if interest.is_priority() {
        bits |= Readiness::PRIORITY;
    }
    bits
}

impl ReadyGuard {
    /// What is known: readable, writable, and what is closed or failed for good.
    pub fn bits(&self) -> Readiness {
        self.bits
    }

    /// Runs `op`, which needs this direction. If it returns `WouldBlock`, the bit is cleared, and
    /// the callback is called again when the kernel reports more. If the direction is not ready,
    /// `op` does not run and the answer is `WouldBlock`. `EINTR` is retried.
    pub fn try_io<T>(
        &mut self,
        direction: Interest,
        mut op: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let needed = bits_of(direction);
        if !self.bits.has(needed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            match op() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.bits.clear(needed);
                    self.drained |= needed;
                    return Err(e);
                }
                done => return done,
            }
        }
    }
}

/// A source and its callback, of whatever types they are.
pub(crate) trait Watcher {
    fn call(&mut self, cx: &mut Cx<'_>, key: WatchKey, ready: &mut ReadyGuard);
    fn source(&mut self) -> &mut dyn Source;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

struct Pair<S, F> {
    source: S,
    callback: F,
}

impl<S, F> Watcher for Pair<S, F>
where
    S: Source + 'static,
    F: FnMut(&mut Cx<'_>, WatchKey, &mut S, &mut ReadyGuard) + 'static,
{
    fn call(&mut self, cx: &mut Cx<'_>, key: WatchKey, ready: &mut ReadyGuard) {
        (self.callback)(cx, key, &mut self.source, ready);
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.source
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

struct Entry {
    /// What it is called for; `None` while it is paused.
    interest: Option<Interest>,
    /// What the poller watches: it only grows.
    registered: Interest,
    /// `None` while its callback runs.
    watcher: Option<Box<dyn Watcher>>,
}

pub(crate) struct Watches(Slab<Entry>);

pub(crate) static WATCHES: LayerId<Watches> = LayerId::new(|| Watches(Slab::new()));

impl Cx<'_> {
    /// Watches a source (any of mio's, or [`Fd`](crate::event::Fd) for a descriptor) and
    /// calls `f` in the ready pass, at most once a turn, as long as it is ready for
    /// something in `interest`. End it with [`close`](Cx::close): the source and `f` are
    /// dropped after the current callback.
    ///
    /// Errors: what the poller says. A descriptor that is watched already is `AlreadyExists`
    /// (epoll, poll(2)); one that cannot be polled, such as a file on disk, is `PermissionDenied`
    /// (epoll); an interest in none of readable, writable and priority is `InvalidInput`.
    ///
    /// ```
    /// use std::io::Read;
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_loop::event::Interest;
    /// use mio::net::UnixStream;
    /// use std::io::Write;
    /// let mut lp = Loop::new()?;
    /// let (mut ours, theirs) = UnixStream::pair()?;
    /// ours.write_all(b"tide")?;
    /// lp.watch(theirs, Interest::READABLE, |cx, key, source, ready| {
    ///     let mut buffer = [0; 16];
    ///     match ready.try_io(Interest::READABLE, || source.read(&mut buffer)) {
    ///         Ok(n) => {
    ///             assert_eq!(&buffer[..n], b"tide");
    ///             cx.close(key).unwrap();
    ///         }
    ///         Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
    ///     }
    /// })?;
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watch<S: Source + 'static>(
        &mut self,
        source: S,
        interest: Interest,
        f: impl FnMut(&mut Cx<'_>, WatchKey, &mut S, &mut ReadyGuard) + 'static,
    ) -> io::Result<WatchKey> {
        let mut watcher: Box<dyn Watcher> = Box::new(Pair { source, callback: f });
        let core = self.core_mut();
        if bits_of(interest) == Readiness::NONE {
            core.reactor.graveyard.bury_boxed(watcher.into_any());
            let text = format!("{interest:?} is not an interest that can be watched");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let entry = core.own.get(&WATCHES).0.vacant_entry();
        let mut d = Driver::new(&mut core.reactor);
        let ready = d.insert(&WATCH, entry.key() as u64).map_err(io::Error::from);
        let registered = ready.and_then(|mut h| match h.register(watcher.source(), interest) {
            Ok(()) => Ok(h.key()),
            Err(e) => {
                h.free();
                Err(e)
            }
        });
        match registered {
            Ok(key) => {
                let watcher = Some(watcher);
                entry.insert(Entry { interest: Some(interest), registered: interest, watcher });
                Ok(WatchKey(key))
            }
            Err(e) => {
                core.reactor.graveyard.bury_boxed(watcher.into_any());
                Err(e)
            }
        }
    }

    /// Changes what a watcher is called for; `None` pauses it. The readiness bits stay as they are.
    /// A change costs a system call only if the interest is new.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_loop::event::Interest;
    /// # use mio::net::UnixStream;
    /// let mut lp = Loop::new()?;
    /// let (source, _peer) = UnixStream::pair()?;
    /// let key = lp.watch(source, Interest::READABLE, |_, _, _, _| {})?;
    /// lp.watch_for(key, Interest::READABLE | Interest::WRITABLE)?;
    /// lp.watch_for(key, None)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watch_for(
        &mut self,
        key: WatchKey,
        interest: impl Into<Option<Interest>>,
    ) -> io::Result<()> {
        let interest = interest.into();
        self.validate(key)?;
        let core = self.core_mut();
        let mut d = Driver::new(&mut core.reactor);
        let mut handle = d.handle(WATCHES.owner(), key.0).ok_or(KeyError::Closed)?;
        let entry = core.own.get(&WATCHES).0.get_mut(handle.data() as usize);
        let entry = entry.ok_or(KeyError::Closed)?;
        entry.interest = interest;
        // While its callback runs, the source is out: then this waits for its return.
        rearm(entry, &mut handle)
    }
}

/// Registers for what is asked for now, and queues what is ready for it.
fn rearm(entry: &mut Entry, handle: &mut Handle<'_>) -> io::Result<()> {
    let Some(interest) = entry.interest else { return Ok(()) };
    if let Some(watcher) = &mut entry.watcher {
        let wanted = entry.registered | interest;
        if wanted != entry.registered {
            handle.reregister(watcher.source(), wanted)?;
            entry.registered = wanted;
        }
        if handle.readiness().has(bits_of(interest)) {
            handle.queue();
        }
    }
    Ok(())
}

fn ready(d: &mut Dispatch<'_>, key: Key, data: u64) {
    let Some(bits) = d.driver().handle(WATCHES.owner(), key).map(|h| h.readiness()) else { return };
    let Some(entry) = d.core.own.get(&WATCHES).0.get_mut(data as usize) else { return };
    if !entry.interest.is_some_and(|i| bits.has(bits_of(i))) {
        return;
    }
    let Some(watcher) = entry.watcher.take() else { return };
    let ready = ReadyGuard { bits, drained: Readiness::NONE };
    let call = |mut cx: Cx<'_>, (watcher, ready): &mut (Box<dyn Watcher>, ReadyGuard)| {
        watcher.call(&mut cx, WatchKey(key), ready);
    };
    let back = |d: &mut Dispatch<'_>, (watcher, ready): (_, ReadyGuard)| {
        put_back(d.core, key, data as usize, watcher, ready.drained);
    };
    d.lend((watcher, ready), call, back, back);
}

/// After its call, in which these were found drained.
fn put_back(core: &mut Core, key: Key, n: usize, watcher: Box<dyn Watcher>, drained: Readiness) {
    let mut d = Driver::new(&mut core.reactor);
    let Some(mut handle) = d.handle(WATCHES.owner(), key) else { return end(watcher, &mut d) };
    let Some(entry) = core.own.get(&WATCHES).0.get_mut(n) else { return };
    handle.forget(drained);
    let watcher = entry.watcher.insert(watcher);
    let mut done = Ok(());
    if sys::REARM_AFTER_WOULD_BLOCK && drained != Readiness::NONE {
        done = handle.reregister(watcher.source(), entry.registered);
    }
    if let Err(e) = done.and_then(|()| rearm(entry, &mut handle)) {
        log::error!(target: "tidegate::loop", "the poller refused a change to {key:?}: {}", OneLine(e));
    }
}

fn end_entry(core: &mut Core, key: Key, data: u64) {
    core.reactor.free(key);
    if let Some(watcher) =
        core.own.get(&WATCHES).0.try_remove(data as usize).and_then(|e| e.watcher)
    {
        end(watcher, &mut Driver::new(&mut core.reactor));
    }
}

/// The poller forgets it now; what is the user's is dropped after the callback.
fn end(mut watcher: Box<dyn Watcher>, rt: &mut Runtime<'_>) {
    // Fails if the descriptor is closed already, which is as good.
    let _ = rt.deregister(watcher.source());
    rt.r.graveyard.bury_boxed(watcher.into_any());
}
