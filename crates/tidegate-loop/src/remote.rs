//! Posts from other threads: a queue, a flag that coalesces wake-ups, and the
//! poller's waker.
//!
//! The inbox is one handle in the ready queue, like any other; a pass takes
//! what was there when it began. It does not keep the loop alive.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cx::Cx;
use crate::table::{Key, Kind};
use crate::turn::Dispatch;

pub(crate) type Post = Box<dyn FnOnce(&mut Cx<'_>) + Send>;

pub(crate) static INBOX: Kind = Kind {
    name: "inbox",
    ready: deliver,
    pending: |_, _, _| {},
    // The loop's own: `close_all` passes it by.
    close: |_, _, _| {},
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
    queue: Mutex<Queue>,
    /// The loop was woken and has not looked yet.
    woken: AtomicBool,
    waker: mio::Waker,
    limit: usize,
}

#[derive(Default)]
struct Queue {
    posts: VecDeque<Post>,
    gone: bool,
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
        let queue = Mutex::default();
        Ok(Remote(Arc::new(Shared { queue, woken: AtomicBool::new(false), waker, limit })))
    }

    /// Queues `f` for the loop's thread. Posts of one thread run in order. An
    /// `Ok` post runs unless the loop is dropped first.
    pub fn post<F>(&self, f: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut Cx<'_>) + Send + 'static,
    {
        {
            let mut queue = self.queue();
            if queue.gone {
                return Err(PostError::LoopGone(f));
            }
            if queue.posts.len() >= self.0.limit {
                return Err(PostError::Full(f));
            }
            queue.posts.push_back(Box::new(f));
        }
        self.wake();
        Ok(())
    }

    /// Makes the loop's poll return, once for any number of calls before the
    /// loop looks.
    pub fn wake(&self) {
        if self.0.woken.load(Ordering::Relaxed) || self.0.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(e) = self.0.waker.wake() {
            // The flag must not claim a wake-up that never came.
            self.0.woken.store(false, Ordering::Release);
            log::error!(target: "tidegate::loop", "waking the loop failed: {e}");
        }
    }

    /// A panic while the lock is held cannot leave the queue half-changed.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_posts(&self) -> bool {
        self.0.woken.load(Ordering::Acquire)
    }

    /// Takes what is queued. The flag falls first, so a post that comes after
    /// wakes again.
    pub(crate) fn collect(&self, into: &mut VecDeque<Post>) {
        self.0.woken.swap(false, Ordering::AcqRel);
        into.append(&mut self.queue().posts);
    }

    pub(crate) fn mark_gone(&self) -> VecDeque<Post> {
        let mut queue = self.queue();
        queue.gone = true;
        std::mem::take(&mut queue.posts)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("queued", &self.queue().posts.len()).finish()
    }
}

fn deliver(d: &mut Dispatch<'_>, _: Key, _: u64) {
    d.core.remote.collect(&mut d.core.inbox);
    while let Some(post) = d.core.inbox.pop_front() {
        post(&mut d.cx());
        d.settle();
    }
}
