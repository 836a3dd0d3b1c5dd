//! What differs between the systems. A leaf: it names nothing of the crate above it. Each
//! file provides:
//!
//! - `SEND_FLAGS`: flags that keep a write to a dead peer from raising a signal;
//! - `reuse_port`: `SO_REUSEPORT`, or an error where there is none;
//! - `accept_failure`: what a failed accept says about;
//! - `code_name`: the system's name of an error number;
//! - `kernel_queues`, `accept_queue`: what waits in the kernel, as far as it says;
//! - `ListenSocket`, `unix_bind`, `unix_listen`, `unix_connect`, `unix_path`: a listening socket
//!   of either family, and what a path may be;
//! - `udp/`: datagrams;
//! - `route`: the interface and the router by which an address is reached;
//! - `from_unix_stream!`: options made from a stream of std, where there is such a stream.

#[cfg(unix)]
#[path = "unix.rs"]
mod imp;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
mod linux;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
#[path = "linux_queues.rs"]
mod kernel;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "no_queues.rs"]
mod kernel;
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

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use imp::defer_accept;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::defer_accept;

pub(crate) use kernel::{Duplicate, accept_queue, duplicate, kernel_queues};
pub use queues::{AcceptQueue, Queues};
pub use udp::UdpQueues;

pub(crate) use imp::{
    ACCEPTED_INHERIT, SEND_FLAGS, Spare, accept_failure, code_name, is_connecting, is_listener,
    keep_alive_count, reuse_address, reuse_port, set_tos, spare,
};

/// The system's words for an error, without its number.
pub(crate) fn description(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

/// What a failed accept says about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AcceptFailure {
    /// The one connection that was to be taken: the next may be fine.
    Connection,
    /// Descriptors or memory: there will be some later.
    Resources,
    /// The listening socket: it will fail again at once.
    Listener,
}

/// Why a path names no socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
