//! A listening socket of either family, for the systems that have Unix domain sockets.
#![forbid(unsafe_code)]

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::{PathFault, darwin};

pub(crate) enum ListenSocket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: Unlink },
}

/// The file of a socket: it goes with it, unless another server has put its own there.
pub(crate) struct Unlink {
    path: PathBuf,
    /// Its device and its number there; `None` if it has no file.
    file: Option<(u64, u64)>,
}

impl Unlink {
    fn new(path: &Path) -> Unlink {
        let file = if is_abstract(path) { None } else { file_at(path) };
        Unlink { path: path.to_owned(), file }
    }
}

impl Drop for Unlink {
    fn drop(&mut self) {
        if self.file.is_some() && file_at(&self.path) == self.file {
            // It may have been taken away already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
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

/// mio's poll(2) has to see the accept itself: it watches again after `WouldBlock`.
const BY_HAND: bool = darwin::HERE && !cfg!(mio_unsupported_force_poll_poll);

/// Darwin names nobody if the peer was gone before it was accepted, and names some peers of Unix
/// domain sockets in a way that mio refuses. So nothing reads the address here.
fn accept_unread(listener: &impl AsFd) -> io::Result<(Socket, SockAddr)> {
    let (socket, peer) = SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, peer))
}

/// The address of a TCP peer. Nobody: it was gone before.
fn named(peer: &SockAddr) -> io::Result<SocketAddr> {
    peer.as_socket().ok_or_else(|| io::Error::from_raw_os_error(libc::ECONNABORTED))
}

impl ListenSocket {
    /// The peer has an address if it is one of TCP.
    pub(crate) fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        match self {
            ListenSocket::Tcp(l) if BY_HAND => {
                let (socket, peer) = accept_unread(l)?;
                let peer = named(&peer)?;
                Ok((TcpStream::from_std(socket.into()), Some(peer)))
            }
            ListenSocket::Unix { listener: l, .. } if BY_HAND => {
                let (socket, _) = accept_unread(l)?;
                Ok((any_stream(OwnedFd::from(socket).into()), None))
            }
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
    let file = Unlink::new(path);
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

#[cfg(test)]
mod tests {
    use super::super::{AcceptFailure, accept_failure};
    use super::*;

    /// As on Darwin, after a reset: accept gives a socket, and no address that TCP has. That is
    /// not the listener's failure.
    #[test]
    fn a_peer_without_an_address_was_gone_before() {
        let path = std::env::temp_dir().join(format!("tidegate-unnamed-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let unix = std_unix::UnixListener::bind(&path).unwrap();
        let _peer = std_unix::UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        unix.set_nonblocking(true).unwrap();
        let listener = std::net::TcpListener::from(OwnedFd::from(unix));
        let by_mio = TcpListener::from_std(listener.try_clone().unwrap());
        let failed = ListenSocket::Tcp(by_mio).accept().unwrap_err();
        assert_eq!(accept_failure(&failed), AcceptFailure::Aborted, "{failed:?}");

        let nobody = SockAddr::unix(&path).unwrap();
        let failed = named(&nobody).unwrap_err();
        assert_eq!(accept_failure(&failed), AcceptFailure::Aborted, "{failed:?}");
        let somebody = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(named(&somebody.into()).unwrap(), somebody);
    }

    /// A server that bound the path anew keeps its file when the old one goes.
    #[test]
    fn only_its_own_file_is_taken_away() {
        let path = std::env::temp_dir().join(format!("tidegate-anew-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let old = unix_bind(&path, None).unwrap();
        let away = path.with_extension("old");
        std::fs::rename(&path, &away).unwrap();
        let new = unix_bind(&path, None).unwrap();
        drop(old);
        assert!(path.exists(), "the file of the new one");
        drop(new);
        assert!(!path.exists());
        std::fs::remove_file(&away).unwrap();
    }
}
