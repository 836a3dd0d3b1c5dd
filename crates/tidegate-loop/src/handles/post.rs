//! The way to a loop from other threads: posts, and the poller's waker.
//!
//! The inbox is one handle in the ready queue, like any other; a pass takes
//! what was there when it began: posts, then results of work. It does not keep the loop
//! alive.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use crate::core::cx::Cx;
use crate::core::kind::{Dispatch, Kind};
use crate::core::state::Post;
use crate::handles::keep_alive;
#[cfg(feature = "work")]
use crate::handles::work;
use crate::store::key::Key;
use crate::sys::Owner;
use crate::threads::inbox::Inbox;
use crate::threads::mailbox::Refused;

static INBOXES: Owner = Owner::new();

/// The loop's own: `close_all` leaves it alone.
pub(crate) static INBOX: Kind = Kind::new("inbox", &INBOXES)
    .ready(deliver)
    .describe(|_, _, _| "posts from other threads".into());

/// Reaches a loop from any thread. `Send`, `Sync`, cheap to clone. Made by
/// [`Cx::remote`].
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// let remote = lp.remote();
/// lp.timer(std::time::Duration::from_secs(60), |_, _| {});
/// let thread = std::thread::spawn(move || remote.post(|cx| cx.stop()).is_ok());
/// lp.run()?; // until the other thread stops it
/// assert!(thread.join().unwrap());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Remote(pub(crate) Arc<Inbox<Post>>);

/// A post that was not taken; the closure comes back.
///
/// ```
/// use tidegate_loop::{AsCx, Loop, PostError};
/// let remote = { Loop::new()?.remote() };
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
        match (self.0.post(boxed), f) {
            (Err(Refused::Gone), Some(f)) => Err(PostError::LoopGone(f)),
            (Err(Refused::Full), Some(f)) => Err(PostError::Full(f)),
            _ => Ok(()),
        }
    }

    /// Wakes the loop: its poll returns. Any number of calls before that count as one.
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl Cx<'_> {
    /// The way to this loop from other threads.
    pub fn remote(&self) -> Remote {
        Remote(self.core().inbox.clone())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("queued", &self.0.len()).finish()
    }
}

fn deliver(d: &mut Dispatch<'_>, _: Key, _: u64) {
    d.core.inbox.collect(&mut d.core.posts);
    while let Some(post) = d.core.posts.pop_front() {
        post(&mut d.cx());
        d.settle();
    }
    while let Some(key) = d.core.inbox.take_notified() {
        keep_alive::release(d.core, key);
    }
    #[cfg(feature = "work")]
    work::deliver(d);
}
