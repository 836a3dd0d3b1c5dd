//! Windows: Winsock's numbers under the names everybody knows.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, Socket, TcpKeepalive};

use super::{AcceptFailure, PathFault};

pub(crate) const SEND_FLAGS: i32 = 0;

/// On Windows the option lets others steal the port; the default is right.
pub(crate) fn reuse_address(_: &Socket) -> io::Result<()> {
    Ok(())
}

pub(crate) fn reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

pub(crate) fn keep_alive_count(params: TcpKeepalive, count: u32) -> TcpKeepalive {
    params.with_retries(count)
}

/// Windows keeps the value, and sends it only if a policy lets it.
pub(crate) fn set_tos(socket: &SockRef<'_>, v6: bool, tos: u8) -> io::Result<()> {
    if v6 { Err(io::ErrorKind::Unsupported.into()) } else { socket.set_tos_v4(tos.into()) }
}

/// There are no signals for writes.
pub(crate) fn without_signal(_: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// `WSAENOPROTOOPT`.
pub(crate) fn is_no_option(e: &io::Error) -> bool {
    e.raw_os_error() == Some(10042)
}

/// `WSAENOBUFS`: also for a write that is too large for now.
pub(crate) fn is_no_buffers(e: &io::Error) -> bool {
    e.raw_os_error() == Some(10055)
}

pub(crate) fn write_error(e: io::Error) -> io::Error {
    e
}

pub(crate) fn peer_error(e: io::Error, _: bool) -> io::Error {
    e
}

pub(crate) fn lost_its_peer(_: &io::Error) -> bool {
    false
}

/// Windows knows nobody under the unspecified address; elsewhere that is this machine.
pub(crate) fn reachable(remote: SocketAddr) -> SocketAddr {
    super::or_loopback(remote)
}

#[cfg(not(windows))]
pub(crate) fn before_connect(_: &Socket, _: SocketAddr) {}

pub(crate) fn defer_accept(_: &Socket, _: std::time::Duration) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

pub(crate) fn is_listener(_: &SockRef<'_>) -> io::Result<bool> {
    Ok(true)
}

pub(crate) fn is_connecting(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}

pub(crate) const ACCEPTED_INHERIT: bool = false;

/// Windows says that it did, and changes nothing.
pub(crate) const LISTEN_AGAIN: bool = false;

/// Handles do not run out here before memory does.
pub(crate) fn spare() -> Option<Spare> {
    None
}

pub(crate) struct Spare;

pub(crate) fn accept_failure(e: &io::Error) -> AcceptFailure {
    match e.raw_os_error() {
        Some(10024 | 10055) => AcceptFailure::Resources,
        // The peer reset it before it was accepted.
        Some(10053 | 10054) => AcceptFailure::Aborted,
        Some(10050 | 10051 | 10060 | 10065) => AcceptFailure::Connection,
        _ => AcceptFailure::Listener,
    }
}

pub(crate) fn code_name(code: i32) -> Option<&'static str> {
    Some(match code {
        10004 => "EINTR",
        10009 => "EBADF",
        10013 => "EACCES",
        10022 => "EINVAL",
        10024 => "EMFILE",
        10035 => "EAGAIN",
        10036 => "EINPROGRESS",
        10037 => "EALREADY",
        10038 => "ENOTSOCK",
        10039 => "EDESTADDRREQ",
        10040 => "EMSGSIZE",
        10041 => "EPROTOTYPE",
        10042 => "ENOPROTOOPT",
        10043 => "EPROTONOSUPPORT",
        10045 => "EOPNOTSUPP",
        10047 => "EAFNOSUPPORT",
        10048 => "EADDRINUSE",
        10049 => "EADDRNOTAVAIL",
        10050 => "ENETDOWN",
        10051 => "ENETUNREACH",
        10053 => "ECONNABORTED",
        10054 => "ECONNRESET",
        10055 => "ENOBUFS",
        10056 => "EISCONN",
        10057 => "ENOTCONN",
        10058 => "ESHUTDOWN",
        10060 => "ETIMEDOUT",
        10061 => "ECONNREFUSED",
        10064 => "EHOSTDOWN",
        10065 => "EHOSTUNREACH",
        _ => return None,
    })
}

/// There are Unix domain sockets on Windows, but neither std nor mio knows them.
pub(crate) enum ListenSocket {
    Tcp(TcpListener),
}

impl ListenSocket {
    pub(crate) fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let ListenSocket::Tcp(l) = self;
        l.accept().map(|(stream, peer)| (stream, Some(peer)))
    }
}

pub(crate) fn is_abstract(_: &Path) -> bool {
    false
}

pub(crate) fn unix_path(_: &Path) -> Result<(), PathFault> {
    Ok(())
}

/// Nothing is ever bound.
pub(crate) enum UnixBound {}

pub(crate) fn unix_bind(_: &Path, _: Option<u32>) -> io::Result<UnixBound> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn unix_listen(bound: UnixBound, _: i32) -> io::Result<ListenSocket> {
    match bound {}
}

pub(crate) fn unix_connect(_: &Path) -> io::Result<TcpStream> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Source for ListenSocket {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        let ListenSocket::Tcp(l) = self;
        l.register(r, t, i)
    }
    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        let ListenSocket::Tcp(l) = self;
        l.reregister(r, t, i)
    }
    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        let ListenSocket::Tcp(l) = self;
        l.deregister(r)
    }
}
