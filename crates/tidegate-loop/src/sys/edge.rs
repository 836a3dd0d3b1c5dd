//! Everywhere else: what mio offers, edge-triggered, is all there is.
//!
//! kqueue announces again after a short read; poll(2) and Windows' AFD re-arm
//! only on `WouldBlock`, and keep watching a descriptor that was closed.

use std::io;

use mio::event::Source;
use mio::{Interest, Poll, Token};

const KQUEUE: bool = cfg!(all(
    any(
        target_os = "macos",
        target_os = "ios",
        target_os = "tvos",
        target_os = "watchos",
        target_os = "visionos",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    ),
    not(mio_unsupported_force_poll_poll)
));

pub(crate) const SHORT_IO_DRAINS: bool = KQUEUE;
pub(crate) const READS: Interest = Interest::READABLE;
pub(crate) const DEREGISTER_BEFORE_CLOSE: bool = !KQUEUE;
pub(crate) const REARM_AFTER_WOULD_BLOCK: bool = !KQUEUE;

/// A source that can be registered level-triggered where the system can: every
/// mio source.
pub trait LevelSource: Source {}
impl<S: Source> LevelSource for S {}

pub(crate) fn register_level(_: &Poll, _: &impl LevelSource, _: Token) -> Option<io::Result<()>> {
    None
}

pub(crate) fn deregister_level(_: &Poll, _: &impl LevelSource, _: Token) -> Option<io::Result<()>> {
    None
}

/// The descriptor of a loop's poller, lent. See [`Loop::backend_fd`](crate::Loop::backend_fd).
#[cfg(unix)]
pub type BackendFd<'a> = std::os::fd::BorrowedFd<'a>;
/// There is none here.
#[cfg(not(unix))]
pub type BackendFd<'a> = std::convert::Infallible;

#[cfg(all(unix, not(mio_unsupported_force_poll_poll)))]
pub(crate) fn backend_fd(poll: &Poll) -> Option<BackendFd<'_>> {
    use std::os::fd::AsRawFd;
    // SAFETY: `poll` owns the descriptor and is borrowed for as long as the result.
    Some(unsafe { std::os::fd::BorrowedFd::borrow_raw(poll.as_raw_fd()) })
}

#[cfg(not(all(unix, not(mio_unsupported_force_poll_poll))))]
pub(crate) fn backend_fd(_: &Poll) -> Option<BackendFd<'_>> {
    None
}
