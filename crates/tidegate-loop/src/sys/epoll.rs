//! Linux: mio's epoll instance also takes a level-triggered registration.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::event::{Event, Source};
use mio::{Interest, Poll, Token};

pub(crate) const SHORT_READ_DRAINS: bool = true;
pub(crate) const SHORT_WRITE_DRAINS: bool = true;
pub(crate) const READS: Interest = Interest::READABLE.add(Interest::PRIORITY);
pub(crate) const DEREGISTER_BEFORE_CLOSE: bool = false;
pub(crate) const REARM_AFTER_WOULD_BLOCK: bool = false;
pub(crate) const POLLS_AFTER_ERROR: bool = true;
pub(crate) const EVENTS: usize = 1_024;

#[inline]
pub(crate) fn is_error(event: &Event) -> bool {
    event.is_error()
}

#[inline]
pub(crate) fn is_write_closed(event: &Event) -> bool {
    event.is_write_closed()
}

/// A source that can be registered level-triggered where the system can. Every
/// mio source that owns a descriptor is one.
///
/// ```
/// fn any(_: &impl tidegate_loop::kind::LevelSource) {}
/// let l = std::net::TcpListener::bind("127.0.0.1:0")?;
/// any(&mio::net::TcpListener::from_std(l));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait LevelSource: Source + AsFd {}
impl<S: Source + AsFd> LevelSource for S {}

/// The descriptor of a loop's poller, lent. See [`Loop::backend_fd`](crate::Loop::backend_fd).
///
/// ```
/// fn watch(fd: tidegate_loop::event::BackendFd<'_>) { println!("{fd:?}") }
/// tidegate_loop::Loop::new()?.backend_fd().map(watch);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type BackendFd<'a> = BorrowedFd<'a>;

pub(crate) fn backend_fd(poll: &Poll) -> Option<BackendFd<'_>> {
    // SAFETY: `poll` owns the descriptor and is borrowed for as long as the result.
    Some(unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) })
}

fn ctl(poll: &Poll, op: libc::c_int, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token.0 as u64 };
    // SAFETY: both descriptors are open for the time of the call (`poll` and
    // the `BorrowedFd` prove it), and `event` is a valid epoll_event that the
    // kernel only reads.
    let done = unsafe { libc::epoll_ctl(poll.as_raw_fd(), op, fd.as_raw_fd(), &mut event) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn register_level(
    poll: &Poll,
    source: &impl LevelSource,
    token: Token,
) -> Option<io::Result<()>> {
    Some(ctl(poll, libc::EPOLL_CTL_ADD, source.as_fd(), token))
}

pub(crate) fn deregister_level(
    poll: &Poll,
    source: &impl LevelSource,
    token: Token,
) -> Option<io::Result<()>> {
    Some(ctl(poll, libc::EPOLL_CTL_DEL, source.as_fd(), token))
}
