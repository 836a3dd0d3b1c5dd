//! Everywhere else: what mio offers, edge-triggered, is all there is.
//!
//! kqueue announces again after a short read; poll(2) and Windows' AFD re-arm
//! only on `WouldBlock`, and keep watching a descriptor that was closed.
//!
//! On Linux this file also stands for two systems that are not there: with
//! `tidegate_like_kqueue` epoll takes the place of kqueue, with `tidegate_like_afd` poll(2) that
//! of AFD.

use std::io;

use mio::event::{Event, Source};
use mio::{Interest, Poll, Token};

const KQUEUE: bool = cfg!(all(
    any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
        tidegate_like_kqueue
    ),
    not(any(mio_unsupported_force_poll_poll, tidegate_like_afd))
));

const AFD: bool = cfg!(any(windows, tidegate_like_afd));

/// kqueue, too, stops a read at urgent data, but has no event for that: what waits behind it
/// was announced before.
pub(crate) const SHORT_READ_DRAINS: bool = false;
pub(crate) const SHORT_WRITE_DRAINS: bool = KQUEUE;
pub(crate) const READS: Interest = Interest::READABLE;
pub(crate) const DEREGISTER_BEFORE_CLOSE: bool = !KQUEUE;
pub(crate) const REARM_AFTER_WOULD_BLOCK: bool = !KQUEUE;
/// mio's poller for AFD panics when it is asked again.
pub(crate) const POLLS_AFTER_ERROR: bool = !AFD;
/// mio clears 32 bytes for each before every poll of AFD.
pub(crate) const EVENTS: usize = if AFD { 256 } else { 1_024 };

/// AFD reports a reset connection as closed on both sides, not as failed; only a connect that
/// fails is an error there.
#[inline]
pub(crate) fn is_error(event: &Event) -> bool {
    event.is_error() && !(cfg!(tidegate_like_afd) && event.is_read_closed())
}

/// kqueue tells of a side that is watched alone; epoll reports a hang-up always.
#[inline]
pub(crate) fn is_write_closed(event: &Event) -> bool {
    event.is_write_closed() && (!cfg!(tidegate_like_kqueue) || event.is_writable())
}

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
