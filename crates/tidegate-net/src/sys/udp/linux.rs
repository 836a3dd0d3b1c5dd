//! Linux: datagrams in and out, many in one call: `recvmmsg`, `sendmmsg`, UDP_SEGMENT.
//!
//! One call with one datagram goes by `recvfrom` and `sendto`, which are cheaper than a batch of
//! one. Control messages are in `control.rs`, options in `linux_options.rs`.

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use mio::net::UdpSocket;

use super::control::{Control, ROOM, parse};
use super::facts::{Beside, Outgoing, Refusal};

/// Datagrams of one call.
pub(crate) const SLOTS: usize = 16;

/// The largest datagram, and the largest train of them.
const SLOT: usize = 64 * 1024;

/// The longest piece into which the kernel may be asked to cut a run; 0: it cannot.
pub(crate) const SEGMENT_MOST: usize = u16::MAX as usize;

/// Messages of one `sendmmsg`.
const SENT_AT_ONCE: usize = 32;

/// The system's numbers for a datagram that is too big, that goes nowhere, and that goes elsewhere
/// than to the connected peer.
pub(crate) const TOO_BIG: i32 = libc::EMSGSIZE;
pub(crate) const NO_DESTINATION: i32 = libc::EDESTADDRREQ;
pub(crate) const IS_CONNECTED: i32 = libc::EISCONN;

/// For gauges of other threads.
pub(crate) type UdpDuplicate = OwnedFd;

/// What a send that failed says about. ENOBUFS: udp(7) has no word on it, but a device's queue that
/// is full gives it when the error queue is on.
pub(crate) fn refusal(e: &io::Error, has_segments: bool) -> Refusal {
    match e.raw_os_error() {
        Some(libc::EAGAIN) => Refusal::Blocked,
        Some(libc::ENOBUFS | libc::ENOMEM) => Refusal::NoBuffers,
        Some(libc::EIO) if has_segments => Refusal::Segments { never: true },
        Some(libc::EINVAL | libc::EMSGSIZE) if has_segments => Refusal::Segments { never: false },
        _ => Refusal::Datagram,
    }
}

/// What an ICMP message becomes, beyond what has an `ErrorKind`: icmp(7).
pub(crate) fn is_icmp(e: &io::Error) -> bool {
    let codes = [libc::EPROTO, libc::ENOPROTOOPT, libc::EHOSTDOWN, libc::ENONET, libc::EOPNOTSUPP];
    e.raw_os_error().is_some_and(|code| codes.contains(&code) || code == libc::EMSGSIZE)
}

/// Where datagrams are received to: memory of one loop. Of its 1 MiB the system gives only the
/// pages that datagrams have reached.
pub(crate) struct Slots {
    data: Box<[MaybeUninit<u8>]>,
    lens: [usize; SLOTS],
    names: Box<[libc::sockaddr_storage; SLOTS]>,
    controls: Box<[Control; SLOTS]>,
    /// Bytes of control messages, and the flags, of each.
    said: [(usize, libc::c_int); SLOTS],
}

impl Slots {
    pub(crate) fn new() -> Slots {
        // SAFETY: a `sockaddr_storage` of zeros is a valid one.
        let name: libc::sockaddr_storage = unsafe { zeroed() };
        Slots {
            data: Box::new_uninit_slice(SLOTS * SLOT),
            lens: [0; SLOTS],
            names: Box::new([name; SLOTS]),
            controls: Box::new([Control::EMPTY; SLOTS]),
            said: [(0, 0); SLOTS],
        }
    }

    /// Receives up to `want` datagrams, each cut at `most` bytes; how many came. Fewer than
    /// `want` means that there are no more for now.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        want: usize,
        most: usize,
        has_control: bool,
    ) -> io::Result<usize> {
        let most = most.min(SLOT);
        if want == 1 && !has_control {
            return socket.try_io(|| self.receive_one(socket.as_raw_fd(), most)).map(|()| 1);
        }
        let want = want.clamp(1, SLOTS);
        socket.try_io(|| self.receive_many(socket.as_raw_fd(), want, most, has_control))
    }

    fn receive_one(&mut self, fd: RawFd, most: usize) -> io::Result<()> {
        let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: the descriptor is open for the time of the call. The kernel writes at most `most`
        // bytes, which the first slot has, and at most `len` bytes to the first name.
        let got = unsafe {
            libc::recvfrom(
                fd,
                self.data.as_mut_ptr().cast(),
                most,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                (&raw mut self.names[0]).cast(),
                &mut len,
            )
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        // With MSG_TRUNC it is the length that the datagram had.
        self.lens[0] = got.min(most);
        self.said[0] = (0, if got > most { libc::MSG_TRUNC } else { 0 });
        Ok(())
    }

    fn receive_many(
        &mut self,
        fd: RawFd,
        want: usize,
        most: usize,
        has_control: bool,
    ) -> io::Result<usize> {
        let mut iovecs = [const { MaybeUninit::<libc::iovec>::uninit() }; SLOTS];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; SLOTS];
        for i in 0..want {
            let slot = &mut self.data[i * SLOT..(i + 1) * SLOT];
            let iov =
                iovecs[i].write(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: most });
            // SAFETY: an `mmsghdr` of zeros is a valid one: no name, no buffers.
            let header = headers[i].write(unsafe { zeroed() });
            header.msg_hdr.msg_name = (&raw mut self.names[i]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = iov;
            header.msg_hdr.msg_iovlen = 1;
            if has_control {
                header.msg_hdr.msg_control = self.controls[i].bytes.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = ROOM as _;
            }
        }
        // SAFETY: the first `want` headers are initialised. Each points to an iovec, a name and
        // control bytes that live until the end of this function or longer, with their lengths.
        let got = unsafe {
            libc::recvmmsg(
                fd,
                headers.as_mut_ptr().cast(),
                want as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?.min(want);
        for (i, header) in headers[..got].iter().enumerate() {
            // SAFETY: `got` is at most `want`, and these headers were initialised above.
            let header = unsafe { header.assume_init_ref() };
            self.lens[i] = (header.msg_len as usize).min(most);
            #[allow(clippy::unnecessary_cast)] // 32 bits in musl
            let said = header.msg_hdr.msg_controllen as usize;
            self.said[i] = (said, header.msg_hdr.msg_flags);
        }
        Ok(got)
    }

    /// What the last call received in this slot: the bytes, who sent them, whether they were
    /// cut, and what was said beside them.
    #[inline(always)]
    pub(crate) fn get(&self, i: usize) -> (&[u8], Option<SocketAddr>, bool, Beside) {
        let (said, flags) = self.said[i];
        let slot = &self.data[i * SLOT..][..self.lens[i]];
        // SAFETY: the kernel wrote as many bytes to the start of the slot, by the call that set
        // `lens[i]`, and nothing makes them uninitialised again.
        let bytes = unsafe { std::slice::from_raw_parts(slot.as_ptr().cast(), slot.len()) };
        let beside = match said {
            0 => Beside::default(),
            n => parse(&self.controls[i].bytes[..n.min(ROOM)]),
        };
        (bytes, address(&self.names[i]), flags & libc::MSG_TRUNC != 0, beside)
    }
}

/// The address that the kernel wrote.
#[inline]
pub(super) fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which type it is, and a storage has room and alignment for
            // each of them.
            let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// An address as the kernel reads it, and its length.
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

fn name(addr: SocketAddr) -> (Name, libc::socklen_t) {
    match addr {
        SocketAddr::V4(a) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: a.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(a.ip().octets()) },
                sin_zero: [0; 8],
            };
            (Name { v4 }, size_of::<libc::sockaddr_in>() as libc::socklen_t)
        }
        SocketAddr::V6(a) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: a.port().to_be(),
                sin6_flowinfo: a.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: a.ip().octets() },
                sin6_scope_id: a.scope_id(),
            };
            (Name { v6 }, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
        }
    }
}

/// An address in the room that is enough for every family.
pub(super) fn storage(addr: SocketAddr) -> libc::sockaddr_storage {
    let (name, len) = name(addr);
    // SAFETY: zeros are a valid storage, and it is larger than each of the addresses.
    unsafe {
        let mut storage: libc::sockaddr_storage = zeroed();
        let bytes = (&raw const name).cast::<u8>();
        bytes.copy_to_nonoverlapping((&raw mut storage).cast(), len as usize);
        storage
    }
}

/// Whether the kernel reads the control messages of IPv4 for it. What has no address goes to the
/// connected peer.
fn is_v4(socket: &UdpSocket, out: &Outgoing<'_>) -> bool {
    let known = out.to.map(|to| to.ip()).or(out.from);
    let ip = known.or_else(|| socket.peer_addr().ok().map(|peer| peer.ip()));
    ip.is_some_and(|ip| ip.to_canonical().is_ipv4())
}

/// Sends one datagram, or one run.
#[inline]
pub(crate) fn send(socket: &UdpSocket, out: &Outgoing<'_>) -> io::Result<()> {
    if out.has_control() {
        return send_with_control(socket, out);
    }
    let fd = socket.as_raw_fd();
    let to = out.to.map(name);
    let (at, len) = match &to {
        Some((to, len)) => ((&raw const *to).cast::<libc::sockaddr>(), *len),
        None => (std::ptr::null(), 0),
    };
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    socket.try_io(|| {
        // SAFETY: the descriptor is open for the time of the call; the kernel reads `data` and the
        // address, which live as long, with their lengths.
        let done =
            unsafe { libc::sendto(fd, out.data.as_ptr().cast(), out.data.len(), flags, at, len) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    })
}

/// Sends one with control messages: a run, or a datagram with more than a destination.
fn send_with_control(socket: &UdpSocket, out: &Outgoing<'_>) -> io::Result<()> {
    let mut to = out.to.map(name);
    let mut iovec =
        libc::iovec { iov_base: out.data.as_ptr().cast_mut().cast(), iov_len: out.data.len() };
    let mut control = Control::EMPTY;
    let len = control.write(out, out.has_family() && is_v4(socket, out));
    // SAFETY: a `msghdr` of zeros is a valid one: no name, no buffers.
    let mut header: libc::msghdr = unsafe { zeroed() };
    if let Some((to, len)) = &mut to {
        header.msg_name = (&raw mut *to).cast();
        header.msg_namelen = *len;
    }
    header.msg_iov = &raw mut iovec;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.as_mut_ptr().cast();
    header.msg_controllen = len as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    socket.try_io(|| {
        // SAFETY: the descriptor is open for the time of the call. The header points to an address,
        // an iovec and control bytes that live as long, with their lengths; the iovec to `data`.
        let done = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, flags) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    })
}

/// Sends in order; how many of them the kernel took: at least one, or an error.
pub(crate) fn send_many(socket: &UdpSocket, all: &[Outgoing<'_>]) -> io::Result<usize> {
    let all = &all[..all.len().min(SENT_AT_ONCE)];
    let mut names = [const { MaybeUninit::<Name>::uninit() }; SENT_AT_ONCE];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; SENT_AT_ONCE];
    let mut iovecs = [const { MaybeUninit::<libc::iovec>::uninit() }; SENT_AT_ONCE];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; SENT_AT_ONCE];
    for (i, out) in all.iter().enumerate() {
        let iov = iovecs[i].write(libc::iovec {
            iov_base: out.data.as_ptr().cast_mut().cast(),
            iov_len: out.data.len(),
        });
        // SAFETY: an `mmsghdr` of zeros is a valid one: no name, no buffers.
        let header = headers[i].write(unsafe { zeroed() });
        header.msg_hdr.msg_iov = iov;
        header.msg_hdr.msg_iovlen = 1;
        if let Some(to) = out.to {
            let (to, len) = name(to);
            header.msg_hdr.msg_name = (&raw mut *names[i].write(to)).cast();
            header.msg_hdr.msg_namelen = len;
        }
        if out.has_control() {
            let control = controls[i].write(Control::EMPTY);
            let len = control.write(out, out.has_family() && is_v4(socket, out));
            header.msg_hdr.msg_control = control.bytes.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = len as _;
        }
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    socket.try_io(|| {
        let (fd, n) = (socket.as_raw_fd(), all.len() as libc::c_uint);
        // SAFETY: the first `n` headers are initialised. Each points to an iovec, and maybe to a
        // name and control bytes, that live until the end of this function, with their lengths.
        // The kernel only reads them, but for `msg_len` of the headers.
        let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr().cast(), n, flags as _) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    })
}
