//! Unix: error names from libc, `MSG_NOSIGNAL` where it exists.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use socket2::{SockRef, Socket, TcpKeepalive};

use super::{AcceptFailure, darwin};

#[cfg(not(target_vendor = "apple"))]
pub(crate) const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;
/// Apple's sockets carry `SO_NOSIGPIPE` instead: mio and socket2 set it.
#[cfg(target_vendor = "apple")]
pub(crate) const SEND_FLAGS: i32 = 0;

/// A stream that came from elsewhere raises no signal either.
#[cfg(target_vendor = "apple")]
pub(crate) fn without_signal(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_nosigpipe(true)
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn without_signal(_: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// Restarting a server must not wait for its old connections' TIME_WAIT.
pub(crate) fn reuse_address(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Where the system spreads what arrives over all sockets of the port.
#[cfg(all(
    any(target_os = "linux", target_os = "android", target_os = "dragonfly"),
    not(tidegate_like_kqueue)
))]
pub(crate) fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(target_os = "freebsd")]
pub(crate) fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port_lb(true)
}

/// macOS, NetBSD and OpenBSD have `SO_REUSEPORT`, but give everything to one socket.
#[cfg(any(
    tidegate_like_kqueue,
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "dragonfly",
        target_os = "freebsd"
    ))
))]
pub(crate) fn reuse_port(_: &Socket) -> io::Result<()> {
    let text = "this system does not spread connections over the sockets of a port";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

#[cfg(not(any(target_os = "openbsd", target_os = "haiku")))]
pub(crate) fn keep_alive_count(params: TcpKeepalive, count: u32) -> TcpKeepalive {
    params.with_retries(count)
}

/// The system's own number counts.
#[cfg(any(target_os = "openbsd", target_os = "haiku"))]
pub(crate) fn keep_alive_count(params: TcpKeepalive, _: u32) -> TcpKeepalive {
    params
}

pub(crate) fn set_tos(socket: &SockRef<'_>, v6: bool, tos: u8) -> io::Result<()> {
    if v6 { socket.set_tclass_v6(tos.into()) } else { socket.set_tos_v4(tos.into()) }
}

/// An option of TCP that this system does not have.
pub(crate) fn is_no_option(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::ENOPROTOOPT)
}

/// No memory for what is written now. The poller may not tell when there is.
pub(crate) fn is_no_buffers(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::ENOBUFS)
}

pub(crate) fn write_error(e: io::Error) -> io::Error {
    if darwin::HERE { darwin::write_error(e) } else { e }
}

pub(crate) fn peer_error(e: io::Error, is_over: bool) -> io::Error {
    if darwin::HERE { darwin::peer_error(e, is_over) } else { e }
}

pub(crate) fn lost_its_peer(e: &io::Error) -> bool {
    darwin::HERE && darwin::lost_its_peer(e)
}

/// The address to connect to, for the one that was asked for.
pub(crate) fn reachable(remote: SocketAddr) -> SocketAddr {
    remote
}

pub(crate) fn before_connect(_: &Socket, _: SocketAddr) {}

/// A connect that was begun and is not done.
pub(crate) fn is_connecting(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR))
}

/// listen(2) on a socket that listens changes its backlog.
pub(crate) const LISTEN_AGAIN: bool = true;

/// Accepted sockets have the options of the one that listens.
pub(crate) const ACCEPTED_INHERIT: bool = cfg!(all(
    any(target_os = "linux", target_os = "android"),
    not(any(tidegate_like_kqueue, tidegate_like_afd))
));

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn defer_accept(_: &Socket, _: std::time::Duration) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Whether a socket listens, as far as the system says.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn is_listener(socket: &SockRef<'_>) -> io::Result<bool> {
    socket.is_listener()
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn is_listener(_: &SockRef<'_>) -> io::Result<bool> {
    Ok(true)
}

/// A descriptor to accept with when there is no other.
pub(crate) fn spare() -> Option<Spare> {
    std::fs::File::open("/dev/null").ok()
}

pub(crate) type Spare = std::fs::File;

/// accept(2): on Linux it also passes on what already went wrong with the connection,
/// or what a packet filter thinks of it.
pub(crate) fn accept_failure(e: &io::Error) -> AcceptFailure {
    match e.raw_os_error() {
        Some(libc::ECONNABORTED) => AcceptFailure::Aborted,
        // mio made no address of what the kernel gave: the peer was gone before.
        None if e.kind() == io::ErrorKind::InvalidInput => AcceptFailure::Aborted,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            AcceptFailure::Resources
        }
        Some(
            libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::EPERM
            | libc::ECONNRESET
            | libc::ETIMEDOUT,
        ) => AcceptFailure::Connection,
        _ => AcceptFailure::Listener,
    }
}

pub(crate) fn code_name(code: i32) -> Option<&'static str> {
    macro_rules! names {
        ($($name:ident)*) => {
            match code {
                $(libc::$name => Some(stringify!($name)),)*
                _ => None,
            }
        };
    }
    names! {
        EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF ECONNABORTED
        ECONNREFUSED ECONNRESET EDESTADDRREQ EEXIST EHOSTDOWN EHOSTUNREACH EINPROGRESS EINTR
        EINVAL EIO EISCONN EMFILE EMSGSIZE ENETDOWN ENETUNREACH ENFILE ENOBUFS ENODEV ENOENT
        ENOMEM ENOPROTOOPT ENOSPC ENOTCONN ENOTSOCK EOPNOTSUPP EPERM EPIPE EPROTO EPROTONOSUPPORT
        EPROTOTYPE ESHUTDOWN ETIMEDOUT
    }
}
