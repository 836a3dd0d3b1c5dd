//! Windows: `FIONREAD`, and from Windows 10 1703 on `SIO_TCP_INFO` of `<mstcpip.h>`. What waits
//! unsent, and the accept queue, cannot be asked. Wine has the first alone.

use std::os::windows::io::AsRawSocket;
use std::time::Duration;

use mio::net::TcpStream;
use windows_sys::Win32::Networking::WinSock::{
    FIONREAD, SIO_TCP_INFO, SOCKET, TCP_INFO_v0, TCPSTATE_CLOSED, TCPSTATE_SYN_SENT, WSAIoctl,
    ioctlsocket,
};

use super::facts::Queues;
pub(crate) use super::unasked::{Duplicate, accept_queue, duplicate};

fn info(socket: SOCKET) -> Option<TCP_INFO_v0> {
    let mut info = TCP_INFO_v0::default();
    let (version, mut len) = (0_u32, 0);
    // SAFETY: the socket is open for the time of the call. The system reads the version, a DWORD,
    // writes at most the size of the struct to it, and how much it wrote to `len`; there is no
    // overlapped operation.
    let done = unsafe {
        WSAIoctl(
            socket,
            SIO_TCP_INFO,
            (&raw const version).cast(),
            size_of::<u32>() as u32,
            (&raw mut info).cast(),
            size_of::<TCP_INFO_v0>() as u32,
            &mut len,
            std::ptr::null_mut(),
            None,
        )
    };
    (done == 0 && len as usize >= size_of::<TCP_INFO_v0>()).then_some(info)
}

pub(crate) fn kernel_queues(stream: &TcpStream) -> Queues {
    let socket = stream.as_raw_socket() as SOCKET;
    let mut bytes = 0;
    // SAFETY: the socket is open for the time of the call; the system writes one u32.
    let done = unsafe { ioctlsocket(socket, FIONREAD, &mut bytes) };
    let receive = (done == 0).then(|| u64::from(bytes));
    let mut queues = Queues { receive, ..Queues::default() };
    let Some(info) = info(socket).filter(|info| info.State != TCPSTATE_CLOSED) else {
        return queues;
    };
    queues.unacknowledged = Some(info.BytesInFlight.into());
    if info.State == TCPSTATE_SYN_SENT {
        return queues;
    }
    queues.peer_window = Some(info.SndWnd.into());
    queues.congestion_window = Some(info.Cwnd.into());
    // Zero: not measured yet.
    let rtt = Duration::from_micros(info.RttUs.into());
    queues.rtt = Some(rtt).filter(|rtt| !rtt.is_zero());
    queues
}
