//! A listening socket of either family, for the systems that have Unix domain sockets.
#![forbid(unsafe_code)]

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};

use super::PathFault;

pub(crate) enum ListenSocket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: Unlink },
}

/// The file of a socket: it goes with it.
pub(crate) struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        if !is_abstract(&self.0) {
            // It may have been taken away already.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Whether it names no file.
pub(crate) fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().first() == Some(&0)
}

/// The bytes of a path in the system's address of a socket.
const PATH_BYTES: usize =
    size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path);

/// Whether the system would understand the path as it is meant.
pub(crate) fn unix_path(path: &Path) -> Result<(), PathFault> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let (name, most) = match bytes.split_first() {
        None => return Err(PathFault::Empty),
        Some((0, _)) if cfg!(any(target_os = "linux", target_os = "android")) => {
            (&[][..], PATH_BYTES)
        }
        // With a NUL at its end.
        Some(_) => (bytes, PATH_BYTES - 1),
    };
    if name.contains(&0) {
        return Err(PathFault::NulByte);
    }
    if bytes.len() > most {
        return Err(PathFault::TooLong { bytes: bytes.len(), most });
    }
    Ok(())
}

/// A stream socket is a stream socket: everything done with it from here on knows no family.
fn any_stream(stream: std_unix::UnixStream) -> TcpStream {
    TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(stream)))
}

impl ListenSocket {
    /// The peer has an address if it is one of TCP.
    pub(crate) fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        match self {
            ListenSocket::Tcp(l) => l.accept().map(|(stream, peer)| (stream, Some(peer))),
            ListenSocket::Unix { listener: l, .. } => {
                l.accept().map(|(s, _)| (any_stream(s.into()), None))
            }
        }
    }
}

/// Bound to its path, not listening yet; dropped, it takes its file with it.
pub(crate) struct UnixBound {
    socket: Socket,
    file: Unlink,
}

pub(crate) fn unix_bind(path: &Path, mode: Option<u32>) -> io::Result<UnixBound> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    let file = Unlink(path.to_owned());
    if let Some(mode) = mode.filter(|_| !is_abstract(path)) {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(UnixBound { socket, file })
}

pub(crate) fn unix_listen(bound: UnixBound, backlog: i32) -> io::Result<ListenSocket> {
    let UnixBound { socket, file } = bound;
    socket.listen(backlog)?;
    let listener = std_unix::UnixListener::from(OwnedFd::from(socket));
    Ok(ListenSocket::Unix { listener: UnixListener::from_std(listener), _file: file })
}

/// Made at once, or not at all: unix(7) connects do not wait, unless the queue is full,
/// which is `EAGAIN`.
pub(crate) fn unix_connect(path: &Path) -> io::Result<TcpStream> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&address)?;
    Ok(any_stream(OwnedFd::from(socket).into()))
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            ListenSocket::Tcp(l) => l.as_fd(),
            ListenSocket::Unix { listener: l, .. } => l.as_fd(),
        }
    }
}

impl ListenSocket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            ListenSocket::Tcp(l) => l,
            ListenSocket::Unix { listener: l, .. } => l,
        }
    }
}

impl Source for ListenSocket {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.source().register(r, t, i)
    }
    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        self.source().reregister(r, t, i)
    }
    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        self.source().deregister(r)
    }
}
