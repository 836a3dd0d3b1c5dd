//! [`connect`]: a connection that a task makes.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::task::{Context, Poll};

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
    let socket = begin(to.into())?;
    poll_fn(|cx| connected(&socket, cx)).await?;
    Ok(socket)
}

fn begin(options: ConnectOptions) -> Result<AsyncSocket, ConnectError> {
    let begun = current::with(|frame| {
        let mut cx = frame.cx();
        let place = Place::new(&mut cx, false).map_err(|_| ConnectError::TableFull)?;
        match cx.connect_as(options, &PULL, place.data()) {
            Ok(key) => Ok(place.take(&mut cx, key)),
            Err(_) => {
                place.free(&mut cx);
                Err(ConnectError::TableFull)
            }
        }
    });
    begun.map_err(NotOnLoop::from)?
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
