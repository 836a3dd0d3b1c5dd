//! Unix: error names from libc, `MSG_NOSIGNAL` where it exists.
#![forbid(unsafe_code)]

use std::io;

use socket2::{SockRef, Socket, TcpKeepalive};

use super::AcceptFailure;

#[cfg(not(any(
    target_os = "macos",
    target_os = "ios",
    target_os = "tvos",
    target_os = "watchos"
)))]
pub(crate) const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;
/// Apple's sockets carry `SO_NOSIGPIPE` instead, set by the standard library.
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "tvos", target_os = "watchos"))]
pub(crate) const SEND_FLAGS: i32 = 0;

/// Restarting a server must not wait for its old connections' TIME_WAIT.
pub(crate) fn reuse_address(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

#[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
pub(crate) fn reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(any(target_os = "solaris", target_os = "illumos"))]
pub(crate) fn reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
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

/// A connect that was begun and is not done.
pub(crate) fn is_connecting(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR))
}

/// Accepted sockets have the options of the one that listens.
pub(crate) const ACCEPTED_INHERIT: bool = cfg!(any(target_os = "linux", target_os = "android"));

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
        ENOMEM ENOSPC ENOTCONN ENOTSOCK EOPNOTSUPP EPERM EPIPE EPROTO EPROTONOSUPPORT ETIMEDOUT
    }
}
