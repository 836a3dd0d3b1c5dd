//! The inbox of a loop: posts, handles that ask to be looked at, signals, and the waker of the
//! poller. What a post is and what is done with the rest, the loop knows: see `handles/post.rs`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
#[cfg(feature = "signal")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::store::key::Key;
use crate::threads::mailbox::{Mailbox, Refused};

/// Shared by all threads that reach one loop.
pub(crate) struct Inbox<P> {
    posts: Mailbox<P>,
    /// Handles that other threads queued; never more than there were handles.
    notified: Mutex<Vec<Key>>,
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
            notified: Mutex::default(),
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

    /// Another thread is done with this handle.
    pub(crate) fn notify(&self, key: Key) {
        self.notified.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.wake();
    }

    pub(crate) fn take_notified(&self) -> Option<Key> {
        self.notified.lock().unwrap_or_else(PoisonError::into_inner).pop()
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
        self.posts.close()
    }
}
