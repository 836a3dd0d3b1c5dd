//! The two directions of a connection, for two tasks.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;

use tidegate_loop::Cx;
use tidegate_net::{Net, SocketKey};

use crate::net::socket::AsyncSocket;
use crate::state::janitor::act;
use crate::state::layer::ASYNC;
use crate::wake::home::Note;

/// The direction from the peer. Made by [`AsyncSocket::into_split`].
///
/// ```
/// use tidegate_async::ReadHalf;
/// async fn count(half: ReadHalf) -> std::io::Result<usize> {
///     let (mut buffer, mut all) = ([0; 4096], 0);
///     loop {
///         match half.socket().read(&mut buffer).await? {
///             0 => return Ok(all),
///             n => all += n,
///         }
///     }
/// }
/// # let _ = count;
/// ```
#[derive(Debug)]
pub struct ReadHalf(Arc<AsyncSocket>);

/// The direction to the peer. Made by [`AsyncSocket::into_split`]. Dropping it ends our side, after
/// what was written.
///
/// ```
/// use tidegate_async::WriteHalf;
/// async fn greet(half: WriteHalf) -> std::io::Result<()> {
///     half.socket().write_all(b"hello\n").await?;
///     half.socket().shutdown().await
/// }
/// # let _ = greet;
/// ```
#[derive(Debug)]
pub struct WriteHalf {
    socket: Arc<AsyncSocket>,
    /// It is whole again: this is dropped without an end.
    united: bool,
}

impl AsyncSocket {
    /// The two directions, for two tasks. The connection is closed when both are dropped. Costs one
    /// allocation.
    ///
    /// ```
    /// use tidegate_async::{AsyncSocket, spawn};
    /// async fn echo(socket: AsyncSocket) -> std::io::Result<()> {
    ///     let (reader, writer) = socket.into_split();
    ///     let mut buffer = [0; 4096];
    ///     loop {
    ///         match reader.socket().read(&mut buffer).await? {
    ///             0 => return Ok(()),
    ///             n => writer.socket().write_all(&buffer[..n]).await?,
    ///         }
    ///     }
    /// }
    /// # let _ = echo;
    /// ```
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        let socket = Arc::new(self);
        (ReadHalf(socket.clone()), WriteHalf::new(socket))
    }
}

impl ReadHalf {
    /// The connection, to read from.
    pub fn socket(&self) -> &AsyncSocket {
        &self.0
    }

    /// Both directions again; or the halves, if they are of two connections.
    ///
    /// ```
    /// use tidegate_async::{AsyncSocket, ReadHalf, WriteHalf};
    /// fn whole(reader: ReadHalf, writer: WriteHalf) -> Option<AsyncSocket> {
    ///     reader.unite(writer).ok()
    /// }
    /// # let _ = whole;
    /// ```
    pub fn unite(self, mut writer: WriteHalf) -> Result<AsyncSocket, (ReadHalf, WriteHalf)> {
        if !Arc::ptr_eq(&self.0, &writer.socket) {
            return Err((self, writer));
        }
        writer.united = true;
        drop(writer);
        Arc::try_unwrap(self.0).map_err(|socket| (ReadHalf(socket.clone()), WriteHalf::new(socket)))
    }
}

impl WriteHalf {
    fn new(socket: Arc<AsyncSocket>) -> WriteHalf {
        WriteHalf { socket, united: false }
    }

    /// The connection, to write to.
    pub fn socket(&self) -> &AsyncSocket {
        &self.socket
    }

    /// [`AsyncSocket::shutdown`]: ends our side, and waits until that is out.
    pub async fn shutdown(&self) -> io::Result<()> {
        self.socket().shutdown().await
    }
}

fn end(cx: &mut Cx<'_>, note: Note) {
    let key: Option<SocketKey> = cx.layer(&ASYNC).0.sockets.get(note.at).and_then(|s| s.key);
    if let Some(key) = key.filter(|key| tidegate_loop::Key::from(*key) == note.key) {
        cx.socket(key).end();
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if !self.united {
            let AsyncSocket { home, key, at } = &*self.socket;
            act(home, Note::new(end, *key, *at));
        }
    }
}
