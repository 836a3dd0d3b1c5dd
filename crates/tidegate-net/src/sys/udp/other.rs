//! Systems where one call moves one datagram: what std, mio and socket2 have, no `unsafe`. What is
//! missing is an error at once, or unknown.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;

use super::facts::{Beside, Extras, Outgoing, Refusal, SoftError, UdpQueues};

pub(crate) const SLOTS: usize = 1;

/// Nothing cuts runs here.
pub(crate) const SEGMENT_MOST: usize = 0;

/// The system's numbers for a datagram that is too big, that goes nowhere, and that goes elsewhere
/// than to the connected peer.
#[cfg(unix)]
mod codes {
    pub(crate) const TOO_BIG: i32 = libc::EMSGSIZE;
    pub(crate) const NO_DESTINATION: i32 = libc::EDESTADDRREQ;
    pub(crate) const IS_CONNECTED: i32 = libc::EISCONN;
}
#[cfg(not(unix))]
mod codes {
    pub(crate) const TOO_BIG: i32 = 10040;
    pub(crate) const NO_DESTINATION: i32 = 10039;
    pub(crate) const IS_CONNECTED: i32 = 10056;
}
pub(crate) use codes::{IS_CONNECTED, NO_DESTINATION, TOO_BIG};

const SLOT: usize = 64 * 1024;

/// There is nothing to ask it.
pub(crate) struct UdpDuplicate;

pub(crate) fn refusal(e: &io::Error, _: bool) -> Refusal {
    match e.kind() {
        io::ErrorKind::WouldBlock => Refusal::Blocked,
        io::ErrorKind::OutOfMemory => Refusal::NoBuffers,
        // ENOBUFS of BSD and macOS, and of Windows.
        _ if matches!(e.raw_os_error(), Some(55 | 10055)) => Refusal::NoBuffers,
        _ => Refusal::Datagram,
    }
}

/// An error about an earlier datagram, beyond what has an `ErrorKind`.
pub(crate) fn is_icmp(_: &io::Error) -> bool {
    false
}

/// Where a datagram is received to.
pub(crate) struct Slots {
    data: Vec<u8>,
    len: usize,
    from: Option<SocketAddr>,
}

impl Slots {
    pub(crate) fn new() -> Slots {
        Slots { data: vec![0; SLOT], len: 0, from: None }
    }

    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        _: usize,
        most: usize,
        _: bool,
    ) -> io::Result<usize> {
        let most = most.min(SLOT);
        let (len, from) = socket.recv_from(&mut self.data[..most])?;
        (self.len, self.from) = (len, Some(from));
        Ok(1)
    }

    pub(crate) fn get(&self, _: usize) -> (&[u8], Option<SocketAddr>, bool, Beside) {
        (&self.data[..self.len], self.from, false, Beside::default())
    }
}

pub(crate) fn send(socket: &UdpSocket, out: &Outgoing<'_>) -> io::Result<()> {
    if out.has_control() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    match out.to {
        Some(to) => socket.send_to(out.data, super::super::reachable(to)),
        None => socket.send(out.data),
    }
    .map(|_| ())
}

pub(crate) fn send_many(socket: &UdpSocket, all: &[Outgoing<'_>]) -> io::Result<usize> {
    match all.first() {
        Some(first) => send(socket, first).map(|()| 1),
        None => Ok(0),
    }
}

pub(crate) fn set_extras<S>(_: S, _: bool, on: &Extras) -> io::Result<()> {
    match on.any() {
        Some(name) => {
            let text = format!("{name}: this system has no such option");
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        }
        None => Ok(()),
    }
}

/// What is on already cannot be asked here.
pub(crate) fn extras_of<S>(_: S) -> Extras {
    Extras::default()
}

pub(crate) fn path_mtu(_: &UdpSocket, _: bool) -> Option<u32> {
    None
}

pub(crate) fn disconnect(_: &UdpSocket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn join_source_v6(_: &UdpSocket, _: Ipv6Addr, _: Ipv6Addr, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn leave_source_v6(_: &UdpSocket, _: Ipv6Addr, _: Ipv6Addr, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn udp_queues<S>(_: &S) -> UdpQueues {
    UdpQueues::default()
}

pub(crate) fn duplicate_udp(_: &UdpSocket) -> io::Result<UdpDuplicate> {
    Ok(UdpDuplicate)
}

pub(crate) fn next_soft_error(_: &UdpSocket) -> Option<SoftError> {
    None
}
