//! Linux: the one option of a listener that nobody else has, and no crate has a name for.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::Socket;

/// tcp(7), `TCP_DEFER_ACCEPT`: whole seconds, which the kernel rounds to retransmits.
pub(crate) fn defer_accept(socket: &Socket, at_most: Duration) -> io::Result<()> {
    let up = at_most.as_millis().div_ceil(1000).max(1);
    let seconds = libc::c_int::try_from(up).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open for the time of the call, and the value is a c_int of
    // that size.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
