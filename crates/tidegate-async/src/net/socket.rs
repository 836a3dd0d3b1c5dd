//! [`AsyncSocket`]: a connection for futures. It holds keys; its state is the loop's.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tidegate_loop::Cx;
use tidegate_net::{Net, SocketCx, SocketKey};

use crate::error::not_on_loop::NotOnLoop;
use crate::state::janitor::act;
use crate::state::layer::ASYNC;
use crate::state::net::SocketState;
use crate::sys::current;
use crate::wake::home::{Home, Note};
use crate::wake::waiter::Waiter;

/// What a dropped connection may still take from its peer while what filters hold goes out.
const DRAIN: (u64, Duration, Duration) = (1 << 20, Duration::from_secs(5), Duration::from_secs(30));

/// A connection for tasks. Dropping it closes the connection.
///
/// It is `Send` and `Sync`, because it holds only keys; it works only in tasks of the loop that made
/// it, and anywhere else every method returns an error. Reads and writes go to the kernel at once,
/// or wait; nothing is queued. The peer's end does not end our side: call
/// [`shutdown`](AsyncSocket::shutdown), or drop it.
///
/// One task may wait to read and one to write. If a second one waits for the same, the first is not
/// woken any more.
///
/// ```
/// use tidegate_async::{AsyncListener, BlockOn, connect, spawn};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// lp.block_on(async {
///     let mut listener = AsyncListener::bind("127.0.0.1:0")?;
///     let at = listener.local_addr()?;
///     let echo = spawn(async move {
///         let (socket, _) = listener.accept().await?;
///         let mut buffer = [0; 1024];
///         loop {
///             match socket.read(&mut buffer).await? {
///                 0 => return socket.shutdown().await,
///                 n => socket.write_all(&buffer[..n]).await?,
///             }
///         }
///     })?;
///     let client = connect(at).await?;
///     client.write_all(b"tide").await?;
///     let mut answer = [0; 4];
///     assert_eq!(client.read(&mut answer).await?, 4);
///     assert_eq!(&answer, b"tide");
///     client.shutdown().await?;
///     echo.await?
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct AsyncSocket {
    pub(crate) key: SocketKey,
    pub(crate) at: usize,
    pub(crate) home: Arc<Home>,
}

impl AsyncSocket {
    /// Its key, as that of any connection: it may be piped, and asked by
    /// [`Net::socket`](tidegate_net::Net::socket).
    pub fn key(&self) -> SocketKey {
        self.key
    }

    /// Calls `f` at once with the connection as callbacks see it, for its options, deadlines and
    /// facts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_async::{AsyncSocket, NotOnLoop};
    /// fn impatient(socket: &AsyncSocket) -> Result<(), NotOnLoop> {
    ///     socket.with(|s| s.set_idle_timeout(Duration::from_secs(5)))
    /// }
    /// # let _ = impatient;
    /// ```
    pub fn with<R>(&self, f: impl FnOnce(&mut SocketCx<'_>) -> R) -> Result<R, NotOnLoop> {
        current::with(|frame| {
            let mut cx = frame.cx();
            if !cx.layer(&ASYNC).0.is_home(&self.home) {
                return Err(NotOnLoop::Foreign);
            }
            Ok(f(&mut cx.socket(self.key)))
        })?
    }

    /// The peer's address; `None` if the connection is over, and on a Unix domain socket.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.with(|s| s.peer_addr()).ok().flatten()
    }

    /// Our address. One system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(|s| s.local_addr())?
    }

    /// Reads what there is, and waits for the first byte. 0: the peer has ended, and stays so.
    ///
    /// Dropping the future loses no byte. Errors: how the connection ended.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_read(cx, buffer))
    }

    /// Writes what the kernel takes, and waits until it takes something.
    ///
    /// Dropping the future before it is ready writes nothing. Errors: `BrokenPipe` after
    /// [`shutdown`](AsyncSocket::shutdown); else how writing, or the connection, ended.
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_write(cx, bytes))
    }

    /// As [`write`](AsyncSocket::write), of several pieces in one call of the kernel's; of the first
    /// 64.
    pub fn write_vectored(
        &self,
        pieces: &[IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_write_vectored(cx, pieces))
    }

    /// Writes all of it. A future that is dropped has written some of it, and nobody knows how much.
    #[inline]
    pub fn write_all(&self, mut bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        poll_fn(move |cx| {
            while !bytes.is_empty() {
                let n = ready!(self.poll_write(cx, bytes))?;
                match bytes.get(n..) {
                    Some(rest) if !rest.is_empty() => bytes = rest,
                    _ => return Poll::Ready(Ok(())),
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Waits until the kernel has what filters, such as TLS, hold back. Without filters it is ready
    /// at once.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ends our side, and waits until all that was written and our FIN are out. The other direction
    /// stays open until the peer ends it.
    pub async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }
}

/// Its place in the layer is free: nobody waits for it any more.
pub(crate) fn forget(cx: &mut Cx<'_>, key: SocketKey, at: usize) -> Option<SocketState> {
    let (layer, mut driver) = cx.layer(&ASYNC);
    layer.socket(key, at)?;
    let mut state = layer.sockets.remove(at);
    for waiter in [state.reader.take(), state.writer.take()] {
        if let Waiter::Other(waker) = waiter {
            driver.bury(waker);
        }
    }
    Some(state)
}

fn dropped(cx: &mut Cx<'_>, note: Note) {
    let Some(key) = cx.layer(&ASYNC).0.sockets.get(note.at).and_then(|s| s.key) else { return };
    if tidegate_loop::Key::from(key) != note.key {
        return;
    }
    if forget(cx, key, note.at).is_some_and(|state| state.over.is_none()) {
        let mut s = cx.socket(key);
        // What filters hold was accepted.
        match s.buffered() {
            0 => s.destroy(),
            _ => s.end_and_drain(DRAIN.0, DRAIN.1, DRAIN.2),
        }
    }
}

impl Drop for AsyncSocket {
    fn drop(&mut self) {
        act(&self.home, Note::new(dropped, self.key, self.at));
    }
}

impl fmt::Debug for AsyncSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncSocket").field(&self.key).finish()
    }
}
