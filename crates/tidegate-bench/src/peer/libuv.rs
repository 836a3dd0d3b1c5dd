//! libuv's servers: the contract in the numbers of `sys/libuv_server.c`, which serves.
#![forbid(unsafe_code)]

use std::net::UdpSocket;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;

use crate::peer::contract::{Mode, Options};
use crate::sys::libuv::{self, Job};

/// Serves on a listener, on a UDP socket, or on both, until the other end of `control` is dropped.
/// `many`: datagrams by `UV_UDP_RECVMMSG`.
pub(crate) fn serve(
    listener: impl IntoRawFd,
    udp: Option<UdpSocket>,
    control: &UnixStream,
    options: &Options,
    many: bool,
) {
    let (mode, messages) = match options.mode {
        Mode::Accept => (0, 0),
        Mode::Answer => (1, 0),
        Mode::Echo => (2, 0),
        Mode::Discard => (3, 0),
        Mode::Batch(n) => (4, n),
        Mode::Datagrams => (5, 0),
        Mode::Answers => (6, 0),
        Mode::Flooded => (7, 0),
        Mode::Bulk => (8, 0),
        Mode::Hello => panic!("libuv speaks no HTTP"),
    };
    let stamps = options.stamps.as_ref().map(|s| s.parts());
    let backlog = options.backlog as i32;
    let (work, received) = (options.work, &*options.received);
    let job = Job { mode, backlog, messages, work, stamps, received, many };
    libuv::serve(listener, udp, control, &job);
}
