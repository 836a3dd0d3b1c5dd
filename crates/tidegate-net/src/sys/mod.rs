//! What differs between the systems. A leaf: it names nothing of the crate above it. Each
//! file provides:
//!
//! - `SEND_FLAGS`: flags that keep a write to a dead peer from raising a signal;
//! - `reuse_port`: several sockets share a port, or an error where the system does not spread
//!   what arrives;
//! - `accept_failure`: what a failed accept says about;
//! - `write_error`, `peer_error`, `lost_its_peer`, `is_no_buffers`: what other systems say in other
//!   words;
//! - `reachable`, `before_connect`: what a connect needs;
//! - `code_name`: the system's name of an error number;
//! - `kernel_queues`, `accept_queue`: what waits in the kernel, as far as it says;
//! - `ListenSocket`, `unix_bind`, `unix_listen`, `unix_connect`, `unix_path`: a listening socket
//!   of either family, and what a path may be;
//! - `udp/`: datagrams;
//! - `route`: the interface and the router by which an address is reached;
//! - `from_unix_stream!`: options made from a stream of std, where there is such a stream.

#[cfg(unix)]
mod darwin;
#[cfg(unix)]
#[path = "unix.rs"]
mod imp;
#[cfg(windows)]
#[allow(unsafe_code)]
mod windows;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
mod linux;

mod queues;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(crate) mod route;
#[cfg(not(target_os = "linux"))]
#[path = "no_route.rs"]
pub(crate) mod route;
pub(crate) mod udp;

#[cfg(unix)]
mod listen_socket;
#[cfg(not(unix))]
pub(crate) use imp::{ListenSocket, is_abstract, unix_bind, unix_connect, unix_listen, unix_path};
#[cfg(unix)]
pub(crate) use listen_socket::{
    ListenSocket, is_abstract, unix_bind, unix_connect, unix_listen, unix_path,
};

#[cfg(not(unix))]
#[path = "other.rs"]
mod imp;

use std::io;
#[cfg(any(windows, test))]
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Once;

use socket2::{SockRef, TcpKeepalive};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use imp::defer_accept;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::defer_accept;

#[cfg(not(windows))]
pub(crate) use imp::before_connect;
#[cfg(windows)]
pub(crate) use windows::before_connect;

pub use queues::facts::{AcceptQueue, Queues};
pub(crate) use queues::{Duplicate, accept_queue, duplicate, kernel_queues};
pub use udp::UdpQueues;

pub(crate) use imp::{
    ACCEPTED_INHERIT, LISTEN_AGAIN, SEND_FLAGS, Spare, accept_failure, code_name, is_connecting,
    is_listener, is_no_buffers, lost_its_peer, peer_error, reachable, reuse_address, reuse_port,
    set_tos, spare, without_signal, write_error,
};

/// The system's words for an error, without its number and without a dot at the end. Some
/// systems have no words for some errors.
pub(crate) fn description(e: &io::Error) -> String {
    let text = e.to_string();
    let Some(end) = text.find(" (os error") else { return text };
    let words = text[..end].trim_end().trim_end_matches('.');
    match e.raw_os_error() {
        Some(code) if words.is_empty() || words.starts_with("OS Error") => format!("error {code}"),
        _ => words.to_lowercase(),
    }
}

/// This machine, if the address is the unspecified one.
#[cfg(any(windows, test))]
fn or_loopback(remote: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match remote.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return remote,
    };
    SocketAddr::new(ip, remote.port())
}

/// Sets the probes of a silent peer. A number of probes that this system has not for one connection
/// does not fail them: its own number counts.
pub(crate) fn set_keep_alive(
    socket: &SockRef<'_>,
    probes: &TcpKeepalive,
    count: u32,
) -> io::Result<()> {
    with_or_without(|counts| {
        let counted = || imp::keep_alive_count(probes.clone(), count);
        if counts { socket.set_tcp_keepalive(&counted()) } else { socket.set_tcp_keepalive(probes) }
    })
}

fn with_or_without(mut set: impl FnMut(bool) -> io::Result<()>) -> io::Result<()> {
    match set(true) {
        Err(e) if imp::is_no_option(&e) => {
            static SAID: Once = Once::new();
            SAID.call_once(|| log::warn!("TCP_KEEPCNT is not known here: the system's own counts"));
            set(false)
        }
        done => done,
    }
}

/// What a failed accept says about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptFailure {
    /// The peer was gone before: it is counted, and no callback reports it.
    Aborted,
    /// The one connection that was to be taken: the next may be fine.
    Connection,
    /// Descriptors or memory: there will be some later.
    Resources,
    /// The listening socket: it will fail again at once.
    Listener,
}

/// Why a path names no socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(unix), allow(dead_code))]
pub(crate) enum PathFault {
    Empty,
    NulByte,
    TooLong { bytes: usize, most: usize },
}

/// `From<UnixStream>` for options that are made from a stream of std.
#[cfg(unix)]
macro_rules! from_unix_stream {
    ($options:ty) => {
        impl From<std::os::unix::net::UnixStream> for $options {
            fn from(stream: std::os::unix::net::UnixStream) -> $options {
                std::net::TcpStream::from(std::os::fd::OwnedFd::from(stream)).into()
            }
        }
    };
}

/// There is no such stream here.
#[cfg(not(unix))]
macro_rules! from_unix_stream {
    ($options:ty) => {};
}

pub(crate) use from_unix_stream;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_have_no_dot_at_the_end() {
        for code in 1..134 {
            let text = description(&io::Error::from_raw_os_error(code));
            assert!(!text.ends_with('.') && !text.contains("os error"), "{text}");
        }
        let windows = io::Error::other("The address is used. (os error 10048)");
        assert_eq!(description(&windows), "the address is used");
    }

    #[test]
    fn the_unspecified_address_is_this_machine() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        assert_eq!(or_loopback(at("0.0.0.0:80")), at("127.0.0.1:80"));
        assert_eq!(or_loopback(at("[::]:80")), at("[::1]:80"));
        assert_eq!(or_loopback(at("192.0.2.1:80")), at("192.0.2.1:80"));
    }

    /// Windows before 10 1703, and Wine, know no `TCP_KEEPCNT`.
    #[test]
    fn an_option_that_the_system_lacks_fails_nothing() {
        let lacks = || io::Error::from_raw_os_error(if cfg!(windows) { 10042 } else { 92 });
        if !imp::is_no_option(&lacks()) {
            return; // the number is another one here
        }
        let mut calls = Vec::new();
        let done = with_or_without(|counts| {
            calls.push(counts);
            if counts { Err(lacks()) } else { Ok(()) }
        });
        assert!(done.is_ok() && calls == [true, false], "{done:?} {calls:?}");
        let other = with_or_without(|_| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
