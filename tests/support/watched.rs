//! One end of a socket pair as a source to watch.
#![allow(dead_code, unreachable_pub)]

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use tidegate::event::{Fd, Interest, ReadyGuard};

pub(crate) fn file(socket: UnixStream) -> Fd<File> {
    Fd::new(File::from(OwnedFd::from(socket))).unwrap()
}

/// Reads what there is, up to the end or `WouldBlock`.
pub(crate) fn drain(source: &mut impl Read, ready: &mut ReadyGuard) -> (Vec<u8>, bool) {
    let (mut all, mut buffer) = (Vec::new(), [0; 64]);
    loop {
        match ready.try_io(Interest::READABLE, || source.read(&mut buffer)) {
            Ok(0) => return (all, true),
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WouldBlock);
                return (all, false);
            }
        }
    }
}
