//! [`connect`]: a connection that a task makes.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tidegate_loop::AsCx;
use tidegate_net::{ConnectOptions, Net};

use crate::error::connect::ConnectError;
use crate::error::not_on_loop::NotOnLoop;
use crate::net::begin::Place;
use crate::net::protocol::PULL;
use crate::net::socket::AsyncSocket;
use crate::state::layer::ASYNC;
use crate::state::net::Over;
use crate::sys::current;
use crate::wake::waiter::{Waiter, Waits};

/// Makes a connection: to an address, or to a name, whose addresses are tried side by side. The
/// deadlines and the other options of [`ConnectOptions`] count. Dropping the future gives up.
///
/// ```
/// use std::time::Duration;
/// use tidegate_async::{BlockOn, connect};
/// use tidegate_loop::Loop;
/// use tidegate_net::ConnectOptions;
/// let mut lp = Loop::new()?;
/// let options = ConnectOptions::new("127.0.0.1:1").connect_timeout(Duration::from_secs(5));
/// let e = lp.block_on(connect(options))?.unwrap_err();
/// println!("{e}"); // connect to 127.0.0.1:1 failed after 0.1 ms: ... (ECONNREFUSED)
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn connect(to: impl Into<ConnectOptions>) -> Result<AsyncSocket, ConnectError> {
    let options = to.into();
    let begun = current::with(|frame| connect_in(&mut frame.cx(), options));
    begun.map_err(NotOnLoop::from)?.await
}

/// The same, begun in this call, where there is a context: before the run, in a callback, or in a
/// task by [`with`](crate::with). The future is `Send`, whatever the options are.
///
/// ```
/// use tidegate_async::{BlockOn, connect_in};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let begun = connect_in(&mut lp, "127.0.0.1:1");
/// let e = lp.block_on(begun)?.unwrap_err();
/// assert_eq!(e.kind(), std::io::ErrorKind::ConnectionRefused);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn connect_in(cx: &mut impl AsCx, to: impl Into<ConnectOptions>) -> Connect {
    let (mut cx, options) = (cx.cx(), to.into());
    let socket = Place::new(&mut cx, false).map_err(|_| ConnectError::TableFull);
    let socket = socket.and_then(|place| match cx.connect_as(options, &PULL, place.data()) {
        Ok(key) => Ok(place.take(&mut cx, key)),
        Err(_) => {
            place.free(&mut cx);
            Err(ConnectError::TableFull)
        }
    });
    Connect { socket: Some(socket) }
}

/// The future of [`connect_in`]. Dropping it gives up.
///
/// ```
/// fn is_send(_: impl Send + Sync + Unpin) {}
/// let mut lp = tidegate_loop::Loop::new()?;
/// is_send(tidegate_async::connect_in(&mut lp, "127.0.0.1:1"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Connect {
    socket: Option<Result<AsyncSocket, ConnectError>>,
}

impl Future for Connect {
    type Output = Result<AsyncSocket, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(Ok(socket)) = &self.socket else {
            // Once more after it was ready: it belongs to somebody else.
            let error = self.socket.take().unwrap_or(Err(NotOnLoop::Gone.into()));
            return Poll::Ready(error);
        };
        let Poll::Ready(connected) = connected(socket, cx) else { return Poll::Pending };
        let socket = self.socket.take().unwrap_or(Err(ConnectError::TableFull));
        Poll::Ready(connected.and(socket))
    }
}

fn connected(socket: &AsyncSocket, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
    let step = current::with(|frame| {
        let by = Waits::new(frame, cx.waker());
        let mut cx = frame.cx();
        let Some(state) = cx.layer(&ASYNC).0.socket(socket.key, socket.at) else {
            return Err(NotOnLoop::Foreign.into());
        };
        match &state.over {
            Some(Over::Closed(reason)) => Err(ConnectError::Closed(reason.clone())),
            None if !state.connected => Ok(Some(state.writer.keep(by))),
            Some(Over::Taken) | None => Ok(None),
        }
    });
    let before: Option<Waiter> = match step {
        Ok(step) => step?,
        Err(e) => return Poll::Ready(Err(NotOnLoop::from(e).into())),
    };
    match before {
        None => Poll::Ready(Ok(())),
        Some(before) => {
            drop(before);
            Poll::Pending
        }
    }
}
