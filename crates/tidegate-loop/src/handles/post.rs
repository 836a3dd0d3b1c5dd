//! The way to a loop from other threads: posts, and the poller's waker.
//!
//! The inbox is one handle in the ready queue, like any other; a pass takes
//! what was there when it began: posts, then results of work. It does not keep the loop
//! alive.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::io;
#[cfg(feature = "signal")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::cx::Cx;
use crate::core::kind::{Dispatch, Kind};
use crate::handles::keep_alive;
use crate::store::key::Key;
use crate::threads::mailbox::{Mailbox, Refused};

pub(crate) type Post = Box<dyn FnOnce(&mut Cx<'_>) + Send>;

pub(crate) static INBOX: Kind = Kind {
    name: "inbox",
    ready: deliver,
    pending: |_, _, _| {},
    // The loop's own: `close_all` passes it by.
    close: |_, _, _| Ok(()),
    closed: |_, _, _| {},
    describe: |_, _, _| "posts from other threads".into(),
};

/// Reaches a loop from any thread. `Send`, `Sync`, cheap to clone. Made by
/// [`Cx::remote`].
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// let remote = lp.as_cx().remote();
/// lp.as_cx().timer(std::time::Duration::from_secs(60), |_, _| {});
/// let thread = std::thread::spawn(move || remote.post(|cx| cx.stop()).is_ok());
/// lp.run()?; // until the other thread stops it
/// assert!(thread.join().unwrap());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Remote(Arc<Shared>);

struct Shared {
    posts: Mailbox<Post>,
    /// Guards that were dropped; never more than there were handles.
    released: Mutex<Vec<Key>>,
    /// Signals that came, a bit for each number.
    #[cfg(feature = "signal")]
    raised: AtomicU64,
    waker: mio::Waker,
}

/// A post that was not taken; the closure comes back.
///
/// ```
/// use tidegate_loop::{AsCx, Loop, PostError};
/// let remote = { Loop::new()?.as_cx().remote() };
/// assert!(matches!(remote.post(|_| {}), Err(PostError::LoopGone(_))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[non_exhaustive]
pub enum PostError<F> {
    /// The loop was dropped.
    LoopGone(F),
    /// `inbox_limit` posts wait already. Try again when the loop has caught up.
    Full(F),
}

impl<F> fmt::Debug for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PostError::LoopGone(_) => "LoopGone",
            PostError::Full(_) => "Full",
        })
    }
}

impl<F> fmt::Display for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PostError::LoopGone(_) => "the loop was dropped",
            PostError::Full(_) => "the loop's inbox is full; try again later",
        })
    }
}

impl<F> std::error::Error for PostError<F> {}

impl Remote {
    pub(crate) fn new(poll: &mio::Poll, inbox: Key, limit: usize) -> io::Result<Remote> {
        let waker = mio::Waker::new(poll.registry(), inbox.token())?;
        Ok(Remote(Arc::new(Shared {
            posts: Mailbox::new(limit),
            released: Mutex::default(),
            #[cfg(feature = "signal")]
            raised: AtomicU64::new(0),
            waker,
        })))
    }

    /// Queues `f` for the loop's thread. Posts of one thread run in order. An
    /// `Ok` post runs unless the loop is dropped first.
    pub fn post<F>(&self, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut Cx<'_>) + Send + 'static,
    {
        let mut f = Some(f);
        let boxed = || -> Post {
            match f.take() {
                Some(f) => Box::new(f),
                None => Box::new(|_| {}),
            }
        };
        let pushed = self.0.posts.push(boxed);
        match (pushed, f) {
            (Err(Refused::Gone), Some(f)) => Err(PostError::LoopGone(f)),
            (Err(Refused::Full), Some(f)) => Err(PostError::Full(f)),
            _ => {
                if self.0.posts.must_wake_for_item() {
                    self.ring();
                }
                Ok(())
            }
        }
    }

    /// Makes the loop's poll return, once for any number of calls before the
    /// loop looks.
    pub fn wake(&self) {
        if self.0.posts.must_wake() {
            self.ring();
        }
    }

    fn ring(&self) {
        if let Err(e) = self.0.waker.wake() {
            self.0.posts.wake_failed();
            log::error!(target: "tidegate::loop", "waking the loop failed: {e}");
        }
    }

    /// A [`KeepAlive`](crate::KeepAlive) was dropped.
    pub(crate) fn release(&self, key: Key) {
        self.0.released.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        self.wake();
    }

    fn take_released(&self) -> Option<Key> {
        self.0.released.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// A signal came: this runs inside its handler.
    #[cfg(feature = "signal")]
    pub(crate) fn raise(&self, bit: u64) {
        self.0.raised.fetch_or(bit, Ordering::AcqRel);
    }

    /// The signals that came, among these.
    #[cfg(feature = "signal")]
    pub(crate) fn take_raised(&self, among: u64) -> u64 {
        self.0.raised.fetch_and(!among, Ordering::AcqRel) & among
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.0.posts.is_woken()
    }

    pub(crate) fn close(&self) -> VecDeque<Post> {
        self.0.posts.close()
    }
}

impl Cx<'_> {
    /// The way to this loop from other threads.
    pub fn remote(&self) -> Remote {
        self.core().remote.clone()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("queued", &self.0.posts.len()).finish()
    }
}

fn deliver(d: &mut Dispatch<'_>, _: Key, _: u64) {
    d.core.remote.0.posts.collect(&mut d.core.inbox);
    while let Some(post) = d.core.inbox.pop_front() {
        post(&mut d.cx());
        d.settle();
    }
    while let Some(key) = d.core.remote.take_released() {
        keep_alive::release(d.core, key);
    }
    #[cfg(feature = "work")]
    crate::handles::work::deliver(d);
}
