//! [`Remote`]: the way to a loop from other threads: posts, notified handles, and the poller's
//! waker.
//!
//! The inbox is one handle in the ready queue, like any other, whose call runs the posts that were
//! there when it began. Notified handles are called separately, at the end of the ready pass:
//! see `turn.rs`. A `Remote` does not keep its loop alive.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use crate::core::cx::Cx;
use crate::core::kind::{Dispatch, Kind};
use crate::core::state::Post;
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
pub struct Remote(Arc<Inbox<Post>>);

/// A post that was not taken; the closure comes back.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
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
    pub(crate) fn to(inbox: &Arc<Inbox<Post>>) -> Remote {
        Remote(inbox.clone())
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
        match (self.0.post(boxed), f) {
            (Err(Refused::Gone), Some(f)) => Err(PostError::LoopGone(f)),
            (Err(Refused::Full), Some(f)) => Err(PostError::Full(f)),
            _ => Ok(()),
        }
    }

    /// Has the loop call [`Kind::notified`](crate::kind::Kind::notified) of a handle, in the
    /// ready pass. This is how a thread says that something is there for the handle to take.
    ///
    /// - A handle that was notified several times before its call is called once. What a thread
    ///   wrote before `notify` is seen by a call that begins after it.
    /// - Handles are called in the order in which they were notified, after those that the kernel
    ///   reported, and in no order with posts.
    /// - What is notified during a ready pass is called in the same one. A pass calls up to
    ///   [`notify_budget`](crate::Limits::notify_budget) notified handles; the rest comes first in
    ///   the next turn, which does not block.
    /// - For a handle that is closed, closing or another loop's, for a kind without the function,
    ///   and after the loop was dropped, nothing happens.
    ///
    /// Costs a lock, and memory only when more handles wait than ever before. A loop that is not
    /// awake is woken once; from a callback of the loop itself no system call is made. Not for
    /// signal handlers.
    ///
    /// ```
    /// use std::sync::mpsc::{Receiver, channel};
    /// use tidegate_loop::kind::{Kind, LayerId};
    /// use tidegate_loop::{AsCx, Loop};
    /// static LINES: LayerId<Option<Receiver<String>>> = LayerId::new(|| None);
    /// static READER: Kind = Kind::new("reader", LINES.owner()).notified(|d, key, _| {
    ///     let (lines, mut driver) = d.layer(&LINES);
    ///     for line in lines.iter().flat_map(|lines| lines.try_iter()) {
    ///         println!("{line}");
    ///         if let Some(reader) = driver.handle(LINES.owner(), key) {
    ///             reader.free(); // it waited for one line
    ///         }
    ///     }
    /// });
    /// let mut lp = Loop::new()?;
    /// let (send, lines) = channel();
    /// *lp.cx().layer(&LINES).0 = Some(lines);
    /// let key = lp.cx().driver().insert(&READER, 0)?.key();
    /// let remote = lp.remote();
    /// let thread = std::thread::spawn(move || {
    ///     send.send("high water at six".into()).unwrap();
    ///     remote.notify(key);
    /// });
    /// lp.run()?; // until the reader has its line
    /// thread.join().unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn notify(&self, key: impl Into<Key>) {
        self.0.notify(key.into());
    }

    /// Wakes the loop: its poll returns. Any number of calls before that count as one.
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl Cx<'_> {
    /// The way to this loop from other threads.
    pub fn remote(&self) -> Remote {
        Remote::to(&self.core().inbox)
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
}
