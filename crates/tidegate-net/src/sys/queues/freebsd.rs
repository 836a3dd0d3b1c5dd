//! FreeBSD: `FIONREAD`, `FIONWRITE`, `TCP_INFO`, and the options of a listening socket of
//! `<sys/socket.h>`. Written from the headers, never run.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::net::TcpStream;

use super::super::ListenSocket;
use super::facts::{AcceptQueue, Queues};

/// `TCPS_CLOSED` and `TCPS_SYN_SENT` of `<netinet/tcp_fsm.h>`.
const CLOSED: u8 = 0;
const SYN_SENT: u8 = 2;

/// An option of a socket whose value is plain numbers.
fn option<T: Copy>(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> Option<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the time of the call; the kernel writes at most `len`
    // bytes to the value, which has that many. Callers ask for plain numbers, of which zeroes are
    // valid, too.
    unsafe {
        let done =
            libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &mut len);
        (done == 0).then(|| value.assume_init())
    }
}

fn ioctl(fd: BorrowedFd<'_>, ask: libc::c_ulong) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the time of the call; the kernel writes one int.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), ask, &mut bytes) };
    if done == 0 { u64::try_from(bytes).ok() } else { None }
}

pub(crate) fn kernel_queues(stream: &TcpStream) -> Queues {
    let fd = stream.as_fd();
    let receive = ioctl(fd, libc::FIONREAD);
    let mut queues = Queues { receive, ..Queues::default() };
    let info = option::<libc::tcp_info>(fd, libc::IPPROTO_TCP, libc::TCP_INFO);
    let Some(info) = info.filter(|info| info.tcpi_state != CLOSED) else { return queues };
    // Sent and not acknowledged, or not sent yet: which of the two is not told.
    queues.send = ioctl(fd, libc::FIONWRITE);
    queues.retransmits = Some(info.tcpi_snd_rexmitpack);
    if info.tcpi_state == SYN_SENT {
        return queues;
    }
    queues.peer_window = Some(info.tcpi_snd_wnd.into());
    // Bytes here, other than on Linux.
    queues.congestion_window = Some(info.tcpi_snd_cwnd.into());
    let micros = |n: u32| Duration::from_micros(n.into());
    // Zero: not measured yet.
    queues.rtt = (info.tcpi_rtt > 0).then(|| micros(info.tcpi_rtt));
    queues.rtt_variation = queues.rtt.map(|_| micros(info.tcpi_rttvar));
    queues
}

/// Connections whose handshake is over; those before are not counted.
pub(crate) fn accept_queue(socket: &impl AsFd) -> AcceptQueue {
    let ask = |name| {
        let number = option::<libc::c_int>(socket.as_fd(), libc::SOL_SOCKET, name);
        number.and_then(|n| u32::try_from(n).ok())
    };
    AcceptQueue { depth: ask(libc::SO_LISTENQLEN), limit: ask(libc::SO_LISTENQLIMIT) }
}

/// A listening socket's descriptor again, for another thread.
pub(crate) type Duplicate = OwnedFd;

pub(crate) fn duplicate(socket: &ListenSocket) -> io::Result<Duplicate> {
    socket.as_fd().try_clone_to_owned()
}
