//! The inbox of a loop: posts, notified handles, signals, and the waker of the poller. What a post
//! is and what is done with the rest, the loop knows: see `handles/remote.rs`.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::key::Key;
use crate::threads::mailbox::{Mailbox, Refused};
use crate::threads::notified::Notified;

/// No thread has this number.
const NO_THREAD: u64 = 0;

/// The number of this thread, also while its thread-local values are dropped, when std's
/// `thread::current` can panic.
fn this_thread() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(NO_THREAD);
    thread_local!(static THIS: Cell<u64> = const { Cell::new(NO_THREAD) });
    THIS.with(|this| {
        if this.get() == NO_THREAD {
            this.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        }
        this.get()
    })
}

/// Shared by all threads that reach one loop.
pub(crate) struct Inbox<P> {
    posts: Mailbox<P>,
    notified: Notified,
    /// The handle that the waker wakes.
    key: Key,
    /// The thread of the loop, which looks here before each poll.
    owner: AtomicU64,
    /// Signals that came, a bit for each number.
    #[cfg(feature = "signal")]
    raised: AtomicU64,
    waker: mio::Waker,
}

impl<P> Inbox<P> {
    /// What it wakes is the handle with this key.
    pub(crate) fn new(poll: &mio::Poll, key: Key, limit: usize) -> io::Result<Inbox<P>> {
        let waker = mio::Waker::new(poll.registry(), key.token())?;
        Ok(Inbox {
            posts: Mailbox::new(limit),
            notified: Notified::new(),
            key,
            owner: AtomicU64::new(this_thread()),
            #[cfg(feature = "signal")]
            raised: AtomicU64::new(0),
            waker,
        })
    }

    /// Leaves a post, which is made only if there is room.
    pub(crate) fn post(&self, make: impl FnOnce() -> P) -> Result<(), Refused> {
        self.posts.push(make)?;
        if self.posts.must_wake_for_item() {
            self.ring();
        }
        Ok(())
    }

    /// Makes the loop's poll return, once for any number of calls before the
    /// loop looks.
    pub(crate) fn wake(&self) {
        if self.posts.must_wake() {
            self.ring();
        }
    }

    fn ring(&self) {
        if let Err(e) = self.waker.wake() {
            self.posts.wake_failed();
            log::error!(target: "tidegate::loop", "waking the loop failed: {e}");
        }
    }

    /// Has the loop call one of its handles in the ready pass.
    pub(crate) fn notify(&self, key: Key) {
        let first = key.loop_id() == self.key.loop_id() && self.notified.push(key);
        if first && self.owner.load(Ordering::Relaxed) != this_thread() {
            self.wake();
        }
    }

    /// The next handle that was notified.
    pub(crate) fn take_notified(&self) -> Option<Key> {
        self.notified.take()
    }

    #[inline]
    pub(crate) fn has_notified(&self) -> bool {
        self.notified.is_waiting()
    }

    /// The loop has looked for the last time before it polls, and user code may run until then:
    /// its own thread has to wake it, too.
    pub(crate) fn begin_poll(&self) {
        self.owner.store(NO_THREAD, Ordering::Relaxed);
    }

    pub(crate) fn end_poll(&self) {
        self.owner.store(this_thread(), Ordering::Relaxed);
    }

    /// A signal came: this runs inside its handler.
    #[cfg(feature = "signal")]
    pub(crate) fn raise(&self, bit: u64) {
        self.raised.fetch_or(bit, Ordering::AcqRel);
    }

    /// The signals that came, among these.
    #[cfg(feature = "signal")]
    pub(crate) fn take_raised(&self, among: u64) -> u64 {
        self.raised.fetch_and(!among, Ordering::AcqRel) & among
    }

    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        self.posts.is_woken()
    }

    /// Whether there is anything that the loop has not looked at.
    #[inline]
    pub(crate) fn has_any(&self) -> bool {
        self.is_woken() | self.has_notified()
    }

    /// Takes the posts that wait.
    pub(crate) fn collect(&self, into: &mut VecDeque<P>) {
        self.posts.collect(into);
    }

    /// How many posts wait.
    pub(crate) fn len(&self) -> usize {
        self.posts.len()
    }

    /// The loop ends: no post is taken any more.
    pub(crate) fn close(&self) -> VecDeque<P> {
        self.notified.close();
        self.posts.close()
    }
}
