//! [`yield_now`]: the rest of a task in the next turn.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Goes on in the next turn, after the poller was asked: sockets and timers have their turn, and
/// other tasks, too.
///
/// ```
/// use tidegate_async::{BlockOn, with, yield_now};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// lp.block_on(async {
///     let before = with(|cx| cx.turn())?;
///     yield_now().await;
///     assert_eq!(with(|cx| cx.turn())?, before + 1);
///     Ok::<(), tidegate_async::NotOnLoop>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
///
/// ```
/// let _: tidegate_async::YieldNow = tidegate_async::yield_now();
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        // A task that is woken in its own poll comes in the next turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
