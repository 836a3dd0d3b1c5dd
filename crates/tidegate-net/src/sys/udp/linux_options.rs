//! Linux: options of UDP sockets that no crate has a name for, the error queue, and the kernel's
//! counters.

use std::io;
use std::mem::zeroed;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::net::UdpSocket;

use super::control::UDP_GRO;
use super::facts::{Extras, SoftError, UdpQueues};
use super::imp::{address, storage};

/// `SO_MEMINFO` of `<asm-generic/socket.h>`, and its fields of `<linux/sock_diag.h>`.
const SO_MEMINFO: libc::c_int = 55;
const RECEIVE: usize = 0;
const RECEIVE_LIMIT: usize = 1;
const SEND: usize = 2;
const SEND_LIMIT: usize = 3;
const DROPS: usize = 8;
const FIELDS: usize = 9;

fn set(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for the time of the call, and the value is an int of that size.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn get(fd: BorrowedFd<'_>, level: i32, name: i32) -> Option<i32> {
    let mut value: i32 = 0;
    let mut len = size_of::<i32>() as libc::socklen_t;
    let at = (&raw mut value).cast();
    // SAFETY: the descriptor is open for the time of the call; the kernel writes at most one int.
    let done = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, at, &mut len) };
    (done == 0).then_some(value)
}

/// What a socket has on already: one that was opened elsewhere.
pub(crate) fn extras_of(fd: impl AsFd) -> Extras {
    let on = |level, name| get(fd.as_fd(), level, name).is_some_and(|value| value != 0);
    let (ip, ip6) = (libc::IPPROTO_IP, libc::IPPROTO_IPV6);
    Extras {
        packet_info: on(ip, libc::IP_PKTINFO) || on(ip6, libc::IPV6_RECVPKTINFO),
        ecn: on(ip, libc::IP_RECVTOS) || on(ip6, libc::IPV6_RECVTCLASS),
        timestamps: on(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
        receive_offload: on(libc::IPPROTO_UDP, UDP_GRO),
        dont_fragment: false,
        transport_errors: on(ip, libc::IP_RECVERR) || on(ip6, libc::IPV6_RECVERR),
    }
}

/// Turns on what was asked for. On a socket of both families also for IPv4.
pub(crate) fn set_extras(fd: impl AsFd, v6: bool, on: &Extras) -> io::Result<()> {
    let fd = fd.as_fd();
    let (ip, ip6) = (libc::IPPROTO_IP, libc::IPPROTO_IPV6);
    if on.packet_info {
        if v6 {
            set(fd, ip6, libc::IPV6_RECVPKTINFO, 1)?;
        }
        set(fd, ip, libc::IP_PKTINFO, 1)?;
    }
    if on.ecn {
        if v6 {
            set(fd, ip6, libc::IPV6_RECVTCLASS, 1)?;
        }
        set(fd, ip, libc::IP_RECVTOS, 1)?;
    }
    if on.timestamps {
        set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    }
    if on.receive_offload {
        set(fd, libc::IPPROTO_UDP, UDP_GRO, 1)?;
    }
    if on.dont_fragment {
        if v6 {
            set(fd, ip6, libc::IPV6_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
        }
        set(fd, ip, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
    }
    if on.transport_errors {
        if v6 {
            set(fd, ip6, libc::IPV6_RECVERR, 1)?;
        }
        set(fd, ip, libc::IP_RECVERR, 1)?;
    }
    Ok(())
}

/// The path MTU that the kernel knows for a connected socket.
pub(crate) fn path_mtu(socket: &UdpSocket, v6: bool) -> Option<u32> {
    let (level, name) = match v6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
        false => (libc::IPPROTO_IP, libc::IP_MTU),
    };
    get(socket.as_fd(), level, name).and_then(|mtu| u32::try_from(mtu).ok())
}

/// A connected socket receives from everybody again. The system forgets a port that it chose itself
/// with the peer, so it is bound again.
pub(crate) fn disconnect(socket: &UdpSocket) -> io::Result<()> {
    let local = socket.local_addr()?;
    // SAFETY: an address of zeros is a valid one, and says no family.
    let mut none: libc::sockaddr = unsafe { zeroed() };
    none.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    let len = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the time of the call; the kernel reads the address.
    if unsafe { libc::connect(socket.as_raw_fd(), &none, len) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let now = socket.local_addr()?;
    if now.port() != local.port() {
        let mut again = now;
        again.set_port(local.port());
        socket2::SockRef::from(socket).bind(&again.into())?;
    }
    Ok(())
}

/// `struct group_source_req`, `<linux/in.h>`: with `MCAST_JOIN_SOURCE_GROUP` for IPv6.
fn source_group(
    socket: &UdpSocket,
    name: i32,
    group: Ipv6Addr,
    source: Ipv6Addr,
    interface: u32,
) -> io::Result<()> {
    // SAFETY: a request of zeros is a valid one.
    let mut request: libc::group_source_req = unsafe { zeroed() };
    request.gsr_interface = interface;
    request.gsr_group = storage(SocketAddrV6::new(group, 0, 0, 0).into());
    request.gsr_source = storage(SocketAddrV6::new(source, 0, 0, 0).into());
    // SAFETY: the descriptor is open for the time of the call, and the kernel reads the request.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            name,
            (&raw const request).cast(),
            size_of::<libc::group_source_req>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn join_source_v6(
    socket: &UdpSocket,
    group: Ipv6Addr,
    source: Ipv6Addr,
    interface: u32,
) -> io::Result<()> {
    source_group(socket, libc::MCAST_JOIN_SOURCE_GROUP, group, source, interface)
}

pub(crate) fn leave_source_v6(
    socket: &UdpSocket,
    group: Ipv6Addr,
    source: Ipv6Addr,
    interface: u32,
) -> io::Result<()> {
    source_group(socket, libc::MCAST_LEAVE_SOURCE_GROUP, group, source, interface)
}

/// The kernel's queues and its drops.
pub(crate) fn udp_queues(socket: &impl AsFd) -> UdpQueues {
    let mut fields = [0u32; FIELDS];
    let mut len = size_of_val(&fields) as libc::socklen_t;
    // SAFETY: the descriptor is open for the time of the call; the kernel writes at most `len`
    // bytes to the fields, which have that many, and how many it wrote to `len`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            fields.as_mut_ptr().cast(),
            &mut len,
        )
    };
    let known = if done == 0 { len as usize / size_of::<u32>() } else { 0 };
    let get = |at: usize| fields[..known.min(FIELDS)].get(at).map(|n| u64::from(*n));
    UdpQueues {
        receive: get(RECEIVE),
        receive_limit: get(RECEIVE_LIMIT),
        send: get(SEND),
        send_limit: get(SEND_LIMIT),
        drops: get(DROPS),
    }
}

pub(crate) fn duplicate_udp(socket: &UdpSocket) -> io::Result<OwnedFd> {
    socket.as_fd().try_clone_to_owned()
}

/// The next error of the error queue: ip(7), `IP_RECVERR`. Errors of our own sends are passed over:
/// the send has said them.
pub(crate) fn next_soft_error(socket: &UdpSocket) -> Option<SoftError> {
    // Each call takes one, and the queue is bounded by the receive buffer.
    loop {
        // SAFETY: zeros are a valid name and a valid header.
        let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) =
            unsafe { (zeroed(), zeroed()) };
        let mut control = [0u64; 64];
        let mut data = [0u8; 1];
        let mut iov = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        header.msg_iov = &mut iov;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: the header points to a name, a buffer and control bytes that live as long as
        // the call, with their lengths.
        if unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags) } < 0 {
            return None;
        }
        if let Some(found) = soft_error(&header, address(&name)) {
            return Some(found);
        }
    }
}

fn soft_error(header: &libc::msghdr, to: Option<SocketAddr>) -> Option<SoftError> {
    // SAFETY: the kernel filled the header and its control bytes; `CMSG_FIRSTHDR` and
    // `CMSG_NXTHDR` stay inside of them.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: it is a whole control message, by the above.
        let message = unsafe { &*at };
        let is_error = matches!(
            (message.cmsg_level, message.cmsg_type),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        );
        if is_error {
            // SAFETY: the data of these messages begins with a `sock_extended_err`, which is copied
            // out, wherever it is aligned.
            let error =
                unsafe { libc::CMSG_DATA(at).cast::<libc::sock_extended_err>().read_unaligned() };
            if error.ee_origin == libc::SO_EE_ORIGIN_LOCAL {
                return None;
            }
            let code = i32::try_from(error.ee_errno).unwrap_or(libc::EIO);
            return Some(SoftError { error: io::Error::from_raw_os_error(code), to });
        }
        // SAFETY: as for the first.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    None
}
