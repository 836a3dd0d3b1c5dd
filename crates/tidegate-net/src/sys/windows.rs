//! Windows: the one setting of a connect that no crate has a name for.

use std::net::SocketAddr;
use std::os::windows::io::AsRawSocket;

use socket2::Socket;
use windows_sys::Win32::Networking::WinSock::{
    SIO_TCP_INITIAL_RTO, TCP_INITIAL_RTO_PARAMETERS, WSAIoctl,
};

/// `TCP_INITIAL_RTO_UNSPECIFIED_RTT` and `TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS` of `<mstcpip.h>`.
const ONE_SYN: TCP_INITIAL_RTO_PARAMETERS =
    TCP_INITIAL_RTO_PARAMETERS { Rtt: u16::MAX, MaxSynRetransmissions: 254 };

/// A refused connect to this machine is over at once: without this, Windows sends the SYN again for
/// two seconds. Windows 10 1709 and later know it; where it is not known, nothing changes.
pub(crate) fn before_connect(socket: &Socket, remote: SocketAddr) {
    if !remote.ip().to_canonical().is_loopback() {
        return;
    }
    let mut returned = 0;
    // SAFETY: the socket is open for the time of the call. The input is a struct of that size,
    // which the system only reads; there is no output, and no overlapped operation.
    let _ = unsafe {
        WSAIoctl(
            socket.as_raw_socket() as _,
            SIO_TCP_INITIAL_RTO,
            std::ptr::from_ref(&ONE_SYN).cast(),
            size_of::<TCP_INITIAL_RTO_PARAMETERS>() as u32,
            std::ptr::null_mut(),
            0,
            &mut returned,
            std::ptr::null_mut(),
            None,
        )
    };
}
