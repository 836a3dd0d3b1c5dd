//! What differs between the systems. Each file provides:
//!
//! - `SHORT_READ_DRAINS`, `SHORT_WRITE_DRAINS`: a read or write that moved less than it
//!   could have proves that the kernel has no more, and the next change is announced;
//! - `READS`: what a stream is registered for, so that the above holds;
//! - `DEREGISTER_BEFORE_CLOSE`: closing a descriptor does not take it out of
//!   the poller;
//! - `REARM_AFTER_WOULD_BLOCK`: a source that mio does not know is announced again
//!   only after it was registered again;
//! - `register_level`, `deregister_level`: level-triggered registration in the
//!   poller that mio made, or `None` where there is no such thing;
//! - `LevelSource`: what `register_level` needs of a source;
//! - `BackendFd`, `backend_fd`: the poller's own descriptor, where it has one;
//! - `POLLS_AFTER_ERROR`: a poller that failed can be asked again;
//! - `EVENTS`: how many events one poll takes, unless a limit says otherwise;
//! - `is_error`, `is_write_closed`: what an event says of a failure.
//!
//! Two simulators of other systems are built on Linux by `--cfg`: `tidegate_like_kqueue`, over
//! epoll, and `tidegate_like_afd`, over mio's poll(2)
//! (`--cfg mio_unsupported_force_poll_poll`), which reports again only after `WouldBlock`. Both
//! are in `edge.rs`.
//!
//! On Unix `fd.rs` makes any descriptor a source. `clock.rs` is the clock;
//! `signal.rs` and `layers.rs` are the same everywhere.

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue, tidegate_like_afd))
))]
#[path = "epoll.rs"]
mod imp;

#[cfg(any(
    not(any(target_os = "linux", target_os = "android")),
    mio_unsupported_force_poll_poll,
    tidegate_like_kqueue,
    tidegate_like_afd
))]
#[path = "edge.rs"]
mod imp;

mod clock;
#[cfg(unix)]
mod fd;
mod layers;
#[cfg(feature = "signal")]
pub(crate) mod signal;

#[cfg(feature = "signal")]
pub mod signals;

/// What users see of the sources, where there is such a thing.
pub(crate) mod event {
    #[cfg(unix)]
    pub use super::fd::Fd;
    pub use super::imp::BackendFd;
}

pub use imp::LevelSource;
pub use layers::{LayerId, Owner};

pub(crate) use clock::Clock;
pub(crate) use event::BackendFd;
pub(crate) use imp::{
    DEREGISTER_BEFORE_CLOSE, EVENTS, POLLS_AFTER_ERROR, READS, REARM_AFTER_WOULD_BLOCK,
    SHORT_READ_DRAINS, SHORT_WRITE_DRAINS, backend_fd, deregister_level, is_error, is_write_closed,
    register_level,
};
pub(crate) use layers::LayerStates;
