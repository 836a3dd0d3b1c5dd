//! How a connection comes to futures, from a server or from a callback, and how it leaves them for
//! a handler.
#![forbid(unsafe_code)]

use std::future::Future;
use std::io::{self, ErrorKind};
use std::panic::Location;
use std::sync::Arc;

use tidegate_loop::{AsCx, Cx, TableFull};
use tidegate_net::{Handler, Incoming, Net, SocketCx, SocketKey};

use crate::error::not_on_loop::NotOnLoop;
use crate::key::TaskKey;
use crate::net::protocol::PULL;
use crate::net::socket::{AsyncSocket, forget};
use crate::options::TaskOptions;
use crate::state::janitor::home;
use crate::state::layer::ASYNC;
use crate::state::net::SocketState;
use crate::tasks::spawn::spawn;
use crate::wake::home::Home;

/// A place for a connection that is to come.
pub(crate) struct Place {
    home: Arc<Home>,
    at: usize,
}

impl Place {
    pub(crate) fn new(cx: &mut Cx<'_>, connected: bool) -> Result<Place, TableFull> {
        let home = home(cx)?;
        Ok(Place { home, at: cx.layer(&ASYNC).0.sockets.insert(SocketState::new(connected)) })
    }

    /// What the net crate is to give back with each call.
    pub(crate) fn data(&self) -> u64 {
        self.at as u64
    }

    /// The connection has come.
    pub(crate) fn take(self, cx: &mut Cx<'_>, key: SocketKey) -> AsyncSocket {
        self.fill(cx, key);
        AsyncSocket { key, at: self.at, home: self.home }
    }

    /// The connection has come, and is nobody's yet. Its place.
    pub(crate) fn fill(&self, cx: &mut Cx<'_>, key: SocketKey) -> usize {
        // A reader sees the peer's end as 0 bytes, and may still have an answer to write.
        let half_open = cx.socket(key).set_allow_half_open(true);
        if let Some(state) = cx.layer(&ASYNC).0.sockets.get_mut(self.at) {
            state.key = Some(key);
            state.half_open = half_open;
        }
        self.at
    }

    /// None comes.
    pub(crate) fn free(self, cx: &mut Cx<'_>) {
        cx.layer(&ASYNC).0.sockets.remove(self.at);
    }
}

/// Takes the connection that a server offers. `f` goes on with it; the loop is beside it.
pub(crate) fn accept<R>(
    mut conn: Incoming<'_>,
    f: impl FnOnce(Place, SocketKey, &mut Cx<'_>) -> R,
) -> Result<R, TableFull> {
    // First its handle: with that, nothing below is refused.
    let key = conn.key();
    if !conn.cx().is_open(key) {
        return Err(TableFull);
    }
    let place = Place::new(&mut conn.cx(), true)?;
    let mut s = conn.accept_as(&PULL, place.data())?;
    Ok(f(place, key, &mut s.cx()))
}

/// Connections that a server's callback gives to tasks.
///
/// ```
/// use tidegate_async::AcceptAsync;
/// use tidegate_loop::Loop;
/// use tidegate_net::Net;
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| {
///     // An error says that the loop is full; then the connection was closed.
///     let _ = conn.accept_spawn(|socket| async move {
///         let _ = socket.write_all(b"high water at noon\n").await;
///     });
/// })?;
/// # lp.server(server).close()?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait AcceptAsync {
    /// Takes the connection. An error says that the loop's table is full: then it was rejected.
    fn accept_async(self) -> Result<AsyncSocket, TableFull>;

    /// Takes the connection, calls `f` at once with it, and spawns the future. Its result is
    /// dropped. An error says that the loop's table is full: then the connection is closed.
    fn accept_spawn<F>(self, f: impl FnOnce(AsyncSocket) -> F) -> Result<TaskKey, TableFull>
    where
        F: Future + 'static,
        F::Output: 'static;
}

impl AcceptAsync for Incoming<'_> {
    fn accept_async(self) -> Result<AsyncSocket, TableFull> {
        accept(self, |place, key, cx| place.take(cx, key))
    }

    #[track_caller]
    fn accept_spawn<F>(self, f: impl FnOnce(AsyncSocket) -> F) -> Result<TaskKey, TableFull>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let spawned = Location::caller();
        let (_, task) = accept(self, |place, key, cx| {
            let future = f(place.take(cx, key));
            spawn(cx, TaskOptions::default(), future, false, spawned)
        })??;
        Ok(TaskKey(task.key))
    }
}

/// A connection that a callback gives to futures.
///
/// ```
/// use tidegate_async::{Async, IntoAsync};
/// use tidegate_net::{On, SocketCx};
/// /// Reads the first byte in a callback, and the rest in a task.
/// fn first() -> On {
///     On::new().data(|s: &mut SocketCx<'_>, chunk| {
///         println!("first: {}", chunk[0]);
///         let Ok(socket) = s.into_async() else { return };
///         s.unread(&chunk[1..]);
///         s.spawn(async move { println!("rest: {:?}", socket.read(&mut [0; 64]).await) }).detach();
///     })
/// }
/// # let _ = first;
/// ```
pub trait IntoAsync {
    /// Takes the connection from its handler, which is dropped after the current callback. Bytes of
    /// the current chunk that are for the future can be given back by
    /// [`unread`](SocketCx::unread). An error: the connection is over, or was not accepted yet.
    #[allow(clippy::wrong_self_convention)] // the context is lent, the connection goes
    fn into_async(&mut self) -> io::Result<AsyncSocket>;
}

impl IntoAsync for SocketCx<'_> {
    fn into_async(&mut self) -> io::Result<AsyncSocket> {
        let (key, connected) = (self.key(), !self.is_connecting());
        let place = Place::new(&mut self.cx(), connected)?;
        if !self.set_protocol(&PULL, place.data()) {
            place.free(&mut self.cx());
            return Err(ErrorKind::NotConnected.into());
        }
        let paused = self.is_paused();
        let mut cx = self.cx();
        let socket = place.take(&mut cx, key);
        if let Some(state) = cx.layer(&ASYNC).0.socket(key, socket.at) {
            state.paused = paused;
        }
        Ok(socket)
    }
}

impl AsyncSocket {
    /// Gives the connection to a handler, which gets what was not read yet. An error: the loop is
    /// another one, or the connection is over; then it is closed.
    ///
    /// ```
    /// use tidegate_async::{AsyncSocket, with};
    /// use tidegate_net::{Flow, On};
    /// async fn greet(socket: AsyncSocket) -> std::io::Result<()> {
    ///     socket.write_all(b"echo\n").await?;
    ///     let echo = On::new().data(|s, chunk| if s.write(chunk) == Flow::Full { s.pause() });
    ///     with(|cx| socket.into_callback(cx, echo.drain(|s| s.resume())))??;
    ///     Ok(())
    /// }
    /// # let _ = greet;
    /// ```
    pub fn into_callback(
        self,
        cx: &mut impl AsCx,
        handler: impl Handler,
    ) -> Result<SocketKey, NotOnLoop> {
        let mut cx = cx.cx();
        let key = self.key;
        if !cx.layer(&ASYNC).0.is_home(&self.home) {
            cx.driver().bury(handler);
            return Err(NotOnLoop::Foreign);
        }
        // Before the handler comes: no callback says that the connection was taken.
        match forget(&mut cx, key, self.at).filter(|state| state.over.is_none()) {
            Some(state) => {
                let mut s = cx.socket(key);
                s.set_allow_half_open(state.half_open);
                s.set_handler(handler);
                s.resume();
            }
            None => cx.driver().bury(handler),
        }
        Ok(key)
    }
}
