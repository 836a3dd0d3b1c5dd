//! macOS and its relatives: `FIONREAD`, and `TCP_CONNECTION_INFO` of `<netinet/tcp.h>`. The
//! accept queue cannot be asked. Written from the headers, never run.

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::net::TcpStream;

use super::facts::Queues;
pub(crate) use super::unasked::{Duplicate, accept_queue, duplicate};

/// `TCPS_CLOSED` and `TCPS_SYN_SENT` of `<netinet/tcp_fsm.h>`.
const CLOSED: u8 = 0;
const SYN_SENT: u8 = 2;

fn info(stream: &TcpStream) -> Option<libc::tcp_connection_info> {
    let mut info = MaybeUninit::<libc::tcp_connection_info>::zeroed();
    let mut len = size_of::<libc::tcp_connection_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the time of the call; the kernel writes at most `len`
    // bytes to the struct, which has that many. It is plain numbers, so zeroes are valid, too.
    unsafe {
        let done = libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CONNECTION_INFO,
            info.as_mut_ptr().cast(),
            &mut len,
        );
        (done == 0).then(|| info.assume_init())
    }
}

pub(crate) fn kernel_queues(stream: &TcpStream) -> Queues {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the time of the call; the kernel writes one int.
    let done = unsafe { libc::ioctl(stream.as_raw_fd(), libc::FIONREAD, &mut bytes) };
    let receive = if done == 0 { u64::try_from(bytes).ok() } else { None };
    let mut queues = Queues { receive, ..Queues::default() };
    let Some(info) = info(stream).filter(|info| info.tcpi_state != CLOSED) else {
        return queues;
    };
    // Sent and not acknowledged, or not sent yet: which of the two is not told.
    queues.send = Some(info.tcpi_snd_sbbytes.into());
    if info.tcpi_state == SYN_SENT {
        return queues;
    }
    queues.peer_window = Some(info.tcpi_snd_wnd.into());
    queues.congestion_window = Some(info.tcpi_snd_cwnd.into());
    let millis = |n: u32| Duration::from_millis(n.into());
    // Zero: not measured yet.
    queues.rtt = (info.tcpi_srtt > 0).then(|| millis(info.tcpi_srtt));
    queues.rtt_variation = queues.rtt.map(|_| millis(info.tcpi_rttvar));
    queues
}
