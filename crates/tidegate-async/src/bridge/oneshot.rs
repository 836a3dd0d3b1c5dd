//! [`oneshot`]: one value from a callback to a future, on one thread, without atomics.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crate::state::layer::ASYNC;
use crate::sys::current;
use crate::wake::home::Home;

/// A way for one value, from a callback to a future of the same thread.
///
/// ```
/// use std::time::Duration;
/// use tidegate_async::{BlockOn, oneshot};
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// let (sender, receiver) = oneshot();
/// lp.after(Duration::from_millis(1), move |cx| {
///     let _ = sender.send(cx.turn());
/// });
/// let turn = lp.block_on(receiver)?;
/// println!("the timer came in turn {}", turn.unwrap());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let way = Way { value: None, kept: None, sends: true, receives: true };
    let way = Rc::new(RefCell::new(way));
    (Sender(way.clone()), Receiver(way))
}

/// Sends the value of a [`oneshot`]. Dropped without that, the receiver gets [`Dropped`].
///
/// ```
/// let (sender, receiver) = tidegate_async::oneshot();
/// drop(receiver);
/// assert_eq!(sender.send("tide"), Err("tide"));
/// ```
pub struct Sender<T>(Rc<RefCell<Way<T>>>);

/// The value of a [`oneshot`], as a future.
///
/// ```
/// use tidegate_async::{BlockOn, Dropped, oneshot};
/// let mut lp = tidegate_loop::Loop::new()?;
/// let (sender, receiver) = oneshot::<u32>();
/// drop(sender);
/// assert_eq!(lp.block_on(receiver)?, Err(Dropped));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Receiver<T>(Rc<RefCell<Way<T>>>);

struct Way<T> {
    value: Option<T>,
    kept: Option<Kept>,
    sends: bool,
    receives: bool,
}

/// A waker that is kept here, and the loop that it is of: so `block_on` can tell that no other
/// thread has it.
struct Kept {
    waker: Waker,
    home: Option<Arc<Home>>,
}

impl Kept {
    fn new(waker: &Waker) -> Kept {
        let home = current::with(|frame| {
            let own = frame.polled_with(waker).is_some();
            frame.cx().layer(&ASYNC).0.home.clone().filter(|_| own)
        });
        let home = home.ok().flatten();
        if let Some(home) = &home {
            home.kept_here.fetch_add(1, Ordering::Relaxed);
        }
        Kept { waker: waker.clone(), home }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.kept_here.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The sender of a [`oneshot`] was dropped without a value.
///
/// ```
/// assert_eq!(tidegate_async::Dropped.to_string(), "the sender was dropped");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender was dropped")
    }
}

impl std::error::Error for Dropped {}

impl From<Dropped> for io::Error {
    fn from(e: Dropped) -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, e)
    }
}

/// Wakes with nothing borrowed: a waker may be code of a user's.
fn wake(kept: Option<Kept>) {
    if let Some(kept) = kept {
        kept.waker.wake_by_ref();
    }
}

impl<T> Sender<T> {
    /// Sends the value; gives it back if nobody receives it any more.
    pub fn send(self, value: T) -> Result<(), T> {
        let mut way = self.0.borrow_mut();
        if !way.receives {
            return Err(value);
        }
        way.value = Some(value);
        let kept = way.kept.take();
        drop(way);
        wake(kept);
        Ok(())
    }

    /// Whether nobody receives the value any more.
    pub fn is_closed(&self) -> bool {
        !self.0.borrow().receives
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut way = self.0.borrow_mut();
        way.sends = false;
        let kept = way.kept.take();
        drop(way);
        wake(kept);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Dropped>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Dropped>> {
        let kept = {
            let mut way = self.0.borrow_mut();
            if let Some(value) = way.value.take() {
                return Poll::Ready(Ok(value));
            }
            if !way.sends {
                return Poll::Ready(Err(Dropped));
            }
            match &way.kept {
                Some(kept) if kept.waker.will_wake(cx.waker()) => return Poll::Pending,
                _ => way.kept.take(),
            }
        };
        // Nothing is borrowed: these run code of a waker's.
        drop(kept);
        let kept = Kept::new(cx.waker());
        self.0.borrow_mut().kept = Some(kept);
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut way = self.0.borrow_mut();
        way.receives = false;
        let (kept, value) = (way.kept.take(), way.value.take());
        drop(way);
        drop((kept, value));
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
