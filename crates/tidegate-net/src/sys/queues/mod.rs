//! What waits in the kernel, as far as each system says. `facts.rs` has the types, `unasked.rs` what
//! stands for an accept queue that cannot be asked. Each other file provides:
//!
//! - `kernel_queues`: what waits for a connection;
//! - `accept_queue`: what waits to be accepted;
//! - `duplicate`, `Duplicate`: a listening socket once more, for a gauge of another thread.
//!
//! Only `linux.rs` is tested by running it; `windows.rs` also runs under Wine. `apple.rs` and
//! `freebsd.rs` are checked by type, and were written from the headers of these systems.

pub(crate) mod facts;
#[cfg(target_vendor = "apple")]
#[allow(unsafe_code)]
#[path = "apple.rs"]
mod kernel;
#[cfg(target_os = "freebsd")]
#[allow(unsafe_code)]
#[path = "freebsd.rs"]
mod kernel;
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
#[path = "linux.rs"]
mod kernel;
#[cfg(not(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "linux",
    target_os = "android",
    windows
)))]
#[path = "none.rs"]
mod kernel;
#[cfg(windows)]
#[allow(unsafe_code)]
#[path = "windows.rs"]
mod kernel;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod unasked;

pub(crate) use kernel::{Duplicate, accept_queue, duplicate, kernel_queues};
