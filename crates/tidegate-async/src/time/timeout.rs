//! [`timeout`]: a future that has only so much time.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::time::sleep::{Sleep, sleep};

/// The result of `future`, or [`Elapsed`] if that takes longer than `after`. A future that is ready
/// in the poll in which its time is over has its result.
///
/// ```
/// use std::time::Duration;
/// use tidegate_async::{BlockOn, Elapsed, timeout};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let never = std::future::pending::<()>();
/// assert_eq!(lp.block_on(timeout(Duration::from_millis(2), never))?, Err(Elapsed));
/// assert_eq!(lp.block_on(timeout(Duration::from_secs(60), async { 42 }))?, Ok(42));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn timeout<F: Future>(after: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(after) }
}

pin_project! {
    /// The future of [`timeout`].
    ///
    /// ```
    /// use tidegate_async::Timeout;
    /// fn soon<F: Future>(future: F) -> Timeout<F> {
    ///     tidegate_async::timeout(std::time::Duration::from_millis(10), future)
    /// }
    /// # let _ = soon(async {});
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

/// The time of a [`timeout`] is over.
///
/// ```
/// let e = std::io::Error::from(tidegate_async::Elapsed);
/// assert_eq!(e.kind(), std::io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(e: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, e)
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(this.sleep).poll(cx).map(|()| Err(Elapsed))
    }
}
