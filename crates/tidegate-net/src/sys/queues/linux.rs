//! Linux: what waits in the kernel, by `TCP_INFO` and three ioctls.
//!
//! tcp(7), unix(7); the layout is `struct tcp_info` of `<linux/tcp.h>`. It only ever grows at
//! its end, so it is read by offset, and as far as this kernel filled it: a field beyond that
//! is not known. `libc` has it too, but not whole in each of its C libraries.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::net::TcpStream;

use super::super::ListenSocket;
use super::facts::{AcceptQueue, Queues};

/// Up to and with `tcpi_snd_wnd`.
const LEN: usize = field::SND_WND + 4;

/// Where the fields are, in bytes from the start.
mod field {
    pub(super) const STATE: usize = 0;
    pub(super) const SND_MSS: usize = 16;
    pub(super) const UNACKED: usize = 24;
    pub(super) const SACKED: usize = 28;
    pub(super) const RTT: usize = 68;
    pub(super) const RTTVAR: usize = 72;
    pub(super) const SND_CWND: usize = 80;
    pub(super) const TOTAL_RETRANS: usize = 100;
    /// Since Linux 5.4.
    pub(super) const SND_WND: usize = 228;
}

/// `enum tcp_state` of `<net/tcp_states.h>`, as far as it matters here.
mod state {
    pub(super) const SYN_SENT: u8 = 2;
    pub(super) const FIN_WAIT_1: u8 = 4;
    pub(super) const CLOSE: u8 = 7;
    pub(super) const LAST_ACK: u8 = 9;
    pub(super) const LISTEN: u8 = 10;
    pub(super) const CLOSING: u8 = 11;
}

/// `TCP_INFO`, as much as there is.
struct Info {
    bytes: [u8; LEN],
    len: usize,
}

impl Info {
    /// `None` if the socket is not one of TCP.
    fn of(fd: BorrowedFd<'_>) -> Option<Info> {
        let mut info = Info { bytes: [0; LEN], len: 0 };
        let mut len = LEN as libc::socklen_t;
        // SAFETY: the descriptor is open for the time of the call; the kernel writes at most
        // `len` bytes to the buffer, which has that many, and how many it wrote to `len`.
        let done = unsafe {
            libc::getsockopt(
                fd.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.bytes.as_mut_ptr().cast(),
                &mut len,
            )
        };
        info.len = (len as usize).min(LEN);
        (done == 0 && info.len > field::STATE).then_some(info)
    }

    fn state(&self) -> u8 {
        self.bytes[field::STATE]
    }

    fn get(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes[..self.len].get(at..at + 4)?;
        bytes.try_into().ok().map(u32::from_ne_bytes)
    }

    fn micros(&self, at: usize) -> Option<Duration> {
        self.get(at).map(|us| Duration::from_micros(us.into()))
    }
}

#[derive(Clone, Copy)]
enum Ask {
    /// `SIOCINQ`: bytes that nobody has read.
    Received,
    /// `SIOCOUTQ`: bytes that the peer has not acknowledged.
    Unacknowledged,
    /// `SIOCOUTQNSD`: of these, the ones that were not sent yet.
    Unsent,
}

fn ioctl(fd: BorrowedFd<'_>, ask: Ask) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    let fd = fd.as_raw_fd();
    // The numbers have another type in each C library. tcp(7): the first two are those of
    // terminals.
    // SAFETY: the descriptor is open for the time of the call; the kernel writes one int.
    let done = unsafe {
        match ask {
            Ask::Received => libc::ioctl(fd, libc::FIONREAD as _, &mut bytes),
            Ask::Unacknowledged => libc::ioctl(fd, libc::TIOCOUTQ as _, &mut bytes),
            Ask::Unsent => libc::ioctl(fd, libc::SIOCOUTQNSD as _, &mut bytes),
        }
    };
    if done == 0 { u64::try_from(bytes).ok() } else { None }
}

/// What the kernel holds for a connection; our own queue is not its business.
pub(crate) fn kernel_queues(stream: &TcpStream) -> Queues {
    let fd = stream.as_fd();
    let receive = ioctl(fd, Ask::Received);
    let Some(info) = Info::of(fd) else {
        // unix(7): `SIOCOUTQ` counts memory there, not bytes.
        return Queues { receive, ..Queues::default() };
    };
    let mut queues = Queues { receive, ..Queues::default() };
    if info.state() == state::CLOSE {
        // Reset: what was to be sent is gone.
        return queues;
    }
    // Our FIN counts as a byte there until the peer has it. It is the last one, so if it
    // arrived since `info` was read, nothing is left.
    let ours_ends = [state::FIN_WAIT_1, state::LAST_ACK, state::CLOSING];
    let fin = u64::from(ours_ends.contains(&info.state()));
    // In this order: what is sent or acknowledged between the two makes the difference
    // larger, never negative.
    let send = ioctl(fd, Ask::Unacknowledged).map(|n| n.saturating_sub(fin));
    let unsent = ioctl(fd, Ask::Unsent).map(|n| n.saturating_sub(fin));
    queues.send = send;
    queues.unsent = unsent;
    queues.unacknowledged = send.zip(unsent).map(|(all, unsent)| all.saturating_sub(unsent));
    queues.retransmits = info.get(field::TOTAL_RETRANS);
    if info.state() == state::SYN_SENT {
        return queues;
    }
    queues.peer_window = info.get(field::SND_WND).map(u64::from);
    queues.congestion_segments = info.get(field::SND_CWND);
    let mss = info.get(field::SND_MSS).map(u64::from);
    queues.congestion_window =
        mss.zip(queues.congestion_segments).map(|(mss, n)| mss * u64::from(n));
    // Zero: not measured yet.
    queues.rtt = info.micros(field::RTT).filter(|rtt| !rtt.is_zero());
    queues.rtt_variation = queues.rtt.and(info.micros(field::RTTVAR));
    queues
}

/// Of a listening socket these two fields have another meaning.
pub(crate) fn accept_queue(socket: &impl AsFd) -> AcceptQueue {
    match Info::of(socket.as_fd()).filter(|info| info.state() == state::LISTEN) {
        Some(info) => {
            AcceptQueue { depth: info.get(field::UNACKED), limit: info.get(field::SACKED) }
        }
        None => AcceptQueue::default(),
    }
}

/// A listening socket's descriptor again, for another thread.
pub(crate) type Duplicate = OwnedFd;

pub(crate) fn duplicate(socket: &ListenSocket) -> io::Result<Duplicate> {
    socket.as_fd().try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offsets above, by a struct that the C library's header was translated to.
    #[test]
    #[cfg(target_env = "gnu")]
    fn the_fields_are_where_the_header_has_them() {
        macro_rules! at {
            ($($field:ident $name:ident),*) => {
                $(assert_eq!(field::$field, std::mem::offset_of!(libc::tcp_info, $name));)*
            };
        }
        at!(STATE tcpi_state, SND_MSS tcpi_snd_mss, UNACKED tcpi_unacked, SACKED tcpi_sacked);
        at!(RTT tcpi_rtt, RTTVAR tcpi_rttvar, SND_CWND tcpi_snd_cwnd);
        at!(TOTAL_RETRANS tcpi_total_retrans, SND_WND tcpi_snd_wnd);
    }

    /// An older kernel fills less.
    #[test]
    fn a_field_that_was_not_filled_is_not_known() {
        let info = Info { bytes: [1; LEN], len: field::SND_WND };
        assert_eq!(info.get(field::SND_WND), None);
        assert_eq!(info.get(field::TOTAL_RETRANS), Some(0x0101_0101));
        let cut = Info { bytes: [1; LEN], len: field::TOTAL_RETRANS + 3 };
        assert_eq!(cut.get(field::TOTAL_RETRANS), None);
    }
}
