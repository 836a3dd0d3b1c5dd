//! What differs between systems.
#![forbid(unsafe_code)]

/// Whether mio's poller reports a socket again after a read that filled a part of the buffer. Other
/// pollers want a read that would block first.
pub(crate) const SHORT_READS_DRAIN: bool = cfg!(all(
    any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "ios",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
    ),
    not(mio_unsupported_force_poll_poll),
));
