//! What differs between the systems. Each file provides:
//!
//! - `SHORT_IO_DRAINS`: a read or write that moved less than it could have
//!   proves that the kernel has no more, and the next change is announced;
//! - `DEREGISTER_BEFORE_CLOSE`: closing a descriptor does not take it out of
//!   the poller;
//! - `register_level`, `deregister_level`: level-triggered registration in the
//!   poller that mio made, or `None` where there is no such thing;
//! - `LevelSource`: what `register_level` needs of a source;
//! - `BackendFd`, `backend_fd`: the poller's own descriptor, where it has one.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(mio_unsupported_force_poll_poll)))]
#[path = "epoll.rs"]
mod imp;

#[cfg(not(all(
    any(target_os = "linux", target_os = "android"),
    not(mio_unsupported_force_poll_poll)
)))]
#[path = "edge.rs"]
mod imp;

pub use imp::{BackendFd, LevelSource};
pub(crate) use imp::{
    DEREGISTER_BEFORE_CLOSE, SHORT_IO_DRAINS, backend_fd, deregister_level, register_level,
};
