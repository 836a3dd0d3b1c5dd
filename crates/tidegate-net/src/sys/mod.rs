//! What differs between the systems. Each file provides:
//!
//! - `SEND_FLAGS`: flags that keep a write to a dead peer from raising a signal;
//! - `reuse_port`: `SO_REUSEPORT`, or an error where there is none;
//! - `accept_failure`: what a failed accept says about;
//! - `code_name`: the system's name of an error number;
//! - `kernel_queues`, `accept_queue`: what waits in the kernel, as far as it says.

#[cfg(unix)]
#[path = "unix.rs"]
mod imp;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
mod linux;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
#[path = "linux_queues.rs"]
mod queues;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "no_queues.rs"]
mod queues;

#[cfg(unix)]
mod listen_socket;
#[cfg(not(unix))]
pub(crate) use imp::{ListenSocket, is_abstract, unix_connect, unix_listen, unix_path};
#[cfg(unix)]
pub(crate) use listen_socket::{ListenSocket, is_abstract, unix_connect, unix_listen, unix_path};

#[cfg(not(unix))]
#[path = "other.rs"]
mod imp;

use std::io;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use imp::defer_accept;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::defer_accept;

pub(crate) use queues::{Duplicate, accept_queue, duplicate, kernel_queues};

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
