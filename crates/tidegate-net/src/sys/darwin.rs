//! What Apple's kernel (Darwin) says in another way than the others. The functions are built on
//! every Unix, so that they are tested there; they are used where [`HERE`] is true.
#![forbid(unsafe_code)]

use std::io;

/// Also with the simulator of kqueue, so that Linux goes through this code.
pub(crate) const HERE: bool = cfg!(any(target_vendor = "apple", tidegate_like_kqueue));

/// A write while the peer's close is being processed is `EPROTOTYPE`.
pub(crate) fn write_error(e: io::Error) -> io::Error {
    match e.raw_os_error() {
        Some(libc::EPROTOTYPE) => io::Error::from_raw_os_error(libc::ECONNRESET),
        _ => e,
    }
}

/// `getpeername` of a connection that is not made yet, or of one that was reset, is `EINVAL`.
pub(crate) fn peer_error(e: io::Error, is_over: bool) -> io::Error {
    match e.raw_os_error() {
        Some(libc::EINVAL) if is_over => io::Error::from_raw_os_error(libc::ECONNRESET),
        Some(libc::EINVAL) => io::Error::from_raw_os_error(libc::ENOTCONN),
        _ => e,
    }
}

/// Whether a socket has no peer because its connection is over.
pub(crate) fn lost_its_peer(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_darwin_become_those_of_others() {
        let of = io::Error::from_raw_os_error;
        let kind = io::Error::kind;
        assert_eq!(kind(&write_error(of(libc::EPROTOTYPE))), io::ErrorKind::ConnectionReset);
        assert_eq!(kind(&write_error(of(libc::EPIPE))), io::ErrorKind::BrokenPipe);
        assert_eq!(kind(&peer_error(of(libc::EINVAL), false)), io::ErrorKind::NotConnected);
        assert_eq!(kind(&peer_error(of(libc::EINVAL), true)), io::ErrorKind::ConnectionReset);
        assert_eq!(kind(&peer_error(of(libc::ENOTCONN), true)), io::ErrorKind::NotConnected);
        assert!(lost_its_peer(&of(libc::EINVAL)) && !lost_its_peer(&of(libc::ENOTCONN)));
    }
}
