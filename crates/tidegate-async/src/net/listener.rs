//! [`AsyncListener`]: a server whose connections tasks take.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidegate_loop::{AsCx, Cx};
use tidegate_net::{Incoming, ListenOptions, Net, ServerCx, ServerHandler, ServerKey};

use crate::error::not_on_loop::NotOnLoop;
use crate::net::begin::accept;
use crate::net::socket::{AsyncSocket, forget};
use crate::state::janitor::{act, home};
use crate::state::layer::ASYNC;
use crate::state::net::{Accepted, ListenerState};
use crate::sys::current;
use crate::tasks::wake::wake;
use crate::wake::home::{Home, Note};
use crate::wake::waiter::{Waiter, Waits};

/// A server for tasks. Dropping it closes the server; connections that were taken live on.
///
/// Up to [`accepted`](crate::AsyncLimits::accepted) connections wait here for a task; more wait in
/// the kernel. For a server that spawns a task for each connection without another one in between,
/// see [`AcceptAsync::accept_spawn`](crate::AcceptAsync::accept_spawn).
///
/// ```
/// use tidegate_async::{AsyncListener, spawn};
/// async fn serve() -> std::io::Result<()> {
///     let mut listener = AsyncListener::bind("127.0.0.1:8080")?;
///     loop {
///         let (socket, peer) = listener.accept().await?;
///         let greet = async move {
///             let _ = socket.write_all(format!("hello, {peer:?}\n").as_bytes()).await;
///         };
///         spawn(greet)?.detach();
///     }
/// }
/// # let _ = serve;
/// ```
pub struct AsyncListener {
    key: ServerKey,
    at: usize,
    home: Arc<Home>,
}

/// What the net crate calls.
struct Queue {
    at: usize,
}

impl ServerHandler for Queue {
    fn on_connection(&mut self, mut conn: Incoming<'_>) {
        let (server, at, peer) = (conn.server_key(), self.at, conn.peer_addr());
        let full = {
            let mut cx = conn.cx();
            let layer = cx.layer(&ASYNC).0;
            let limit = layer.limits.accepted;
            layer.listeners.get(at).is_none_or(|l| l.accepted.len() + 1 >= limit)
        };
        // If the loop's table is full, the connection was rejected, and counted.
        let _ = accept(conn, |place, key, cx| {
            let accepted = Accepted { key, at: place.fill(cx, key), peer };
            let Some(state) = cx.layer(&ASYNC).0.listeners.get_mut(at) else { return };
            state.accepted.push_back(accepted);
            state.paused |= full;
            let waiter = state.waiter.take();
            if full {
                // It is open: it has just accepted.
                let _ = cx.server(server).pause();
            }
            wake(cx, waiter);
        });
    }

    fn on_close(&mut self, server: &mut ServerCx<'_>) {
        let mut cx = server.cx();
        if let Some(state) = cx.layer(&ASYNC).0.listeners.get_mut(self.at) {
            state.closed = true;
            let waiter = state.waiter.take();
            wake(&mut cx, waiter);
        }
    }
}

enum Step {
    Taken(Accepted),
    Waits(Waiter),
    Closed(io::Error),
}

impl AsyncListener {
    /// Opens a server, in a task. Errors: those of the address, of bind and of listen.
    pub fn bind(at: impl Into<ListenOptions>) -> io::Result<AsyncListener> {
        let options = at.into();
        current::with(|frame| AsyncListener::bind_in(&mut frame.cx(), options))
            .map_err(NotOnLoop::from)?
    }

    /// Opens a server where there is a context: before the run, or in a callback.
    ///
    /// ```
    /// use tidegate_async::AsyncListener;
    /// use tidegate_loop::Loop;
    /// let mut lp = Loop::new()?;
    /// let listener = AsyncListener::bind_in(&mut lp, "127.0.0.1:0")?;
    /// drop(listener);
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind_in(cx: &mut impl AsCx, at: impl Into<ListenOptions>) -> io::Result<AsyncListener> {
        let mut cx = cx.cx();
        let home = home(&mut cx)?;
        let place = cx.layer(&ASYNC).0.listeners.insert(ListenerState::default());
        match cx.serve(at, Queue { at: place }) {
            Ok(key) => Ok(AsyncListener { key, at: place, home }),
            Err(e) => {
                cx.layer(&ASYNC).0.listeners.remove(place);
                Err(e.into())
            }
        }
    }

    /// Its key, as that of any server.
    pub fn key(&self) -> ServerKey {
        self.key
    }

    /// Calls `f` at once with the server as callbacks see it.
    ///
    /// ```
    /// use tidegate_async::{AsyncListener, NotOnLoop};
    /// fn accepted(listener: &AsyncListener) -> Result<u64, NotOnLoop> {
    ///     listener.with(|server| server.stats().map_or(0, |stats| stats.accepted))
    /// }
    /// # let _ = accepted;
    /// ```
    pub fn with<R>(&self, f: impl FnOnce(&mut ServerCx<'_>) -> R) -> Result<R, NotOnLoop> {
        current::with(|frame| {
            let mut cx = frame.cx();
            if !cx.layer(&ASYNC).0.is_home(&self.home) {
                return Err(NotOnLoop::Foreign);
            }
            Ok(f(&mut cx.server(self.key)))
        })?
    }

    /// Where it listens: the port that the system chose for 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(|server| server.local_addr())?
    }

    /// The next connection, with its peer's address, if it has one. Dropping the future loses no
    /// connection. An error: the server was closed.
    pub async fn accept(&mut self) -> io::Result<(AsyncSocket, Option<SocketAddr>)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// [`accept`](AsyncListener::accept) as a poll.
    pub fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(AsyncSocket, Option<SocketAddr>)>> {
        let mut spent = false;
        let step = current::with(|frame| {
            spent = !frame.take_operation();
            let by = Waits::new(frame, cx.waker());
            let mut cx = frame.cx();
            let layer = cx.layer(&ASYNC).0;
            if !layer.is_home(&self.home) {
                return Step::Closed(NotOnLoop::Foreign.into());
            }
            let Some(state) = layer.listeners.get_mut(self.at) else {
                return Step::Closed(closed());
            };
            if spent {
                layer.metrics.budget_spent += 1;
                return Step::Waits(Waiter::Nobody);
            }
            let Some(taken) = state.accepted.pop_front() else {
                if state.closed {
                    return Step::Closed(closed());
                }
                return Step::Waits(state.waiter.keep(by));
            };
            // Not for each: that costs a system call.
            if state.paused && state.accepted.is_empty() {
                state.paused = false;
                let _ = cx.server(self.key).resume();
            }
            Step::Taken(taken)
        });
        match step {
            Ok(Step::Taken(Accepted { key, at, peer })) => {
                Poll::Ready(Ok((AsyncSocket { key, at, home: self.home.clone() }, peer)))
            }
            Ok(Step::Waits(before)) => {
                drop(before);
                if spent {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Ok(Step::Closed(e)) => Poll::Ready(Err(e)),
            Err(e) => Poll::Ready(Err(NotOnLoop::from(e).into())),
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the server is closed")
}

fn dropped(cx: &mut Cx<'_>, note: Note) {
    let Some(mut state) = cx.layer(&ASYNC).0.listeners.try_remove(note.at) else { return };
    if let Waiter::Other(waker) = state.waiter.take() {
        cx.driver().bury(waker);
    }
    // It may be closed.
    let _ = cx.close(note.key);
    for Accepted { key, at, .. } in state.accepted {
        forget(cx, key, at);
        cx.socket(key).destroy();
    }
}

impl Drop for AsyncListener {
    fn drop(&mut self) {
        act(&self.home, Note::new(dropped, self.key, self.at));
    }
}

impl fmt::Debug for AsyncListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncListener").field(&self.key).finish()
    }
}
