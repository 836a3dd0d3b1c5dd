//! Epoll and sockets by their system calls, with nothing in between: what the floor and
//! the clients are made of. Descriptors are owned, so what is here is safe to call.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Something to read, or the end.
pub const IN: u32 = libc::EPOLLIN as u32;
/// Room to write.
pub const OUT: u32 = libc::EPOLLOUT as u32;
/// The peer has ended.
pub const END: u32 = libc::EPOLLRDHUP as u32;
/// Tell each thing once.
pub const EDGE: u32 = libc::EPOLLET as u32;
/// An error, or both sides have ended; always told.
pub const BROKEN: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

fn check(done: i32) -> io::Result<i32> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

fn count(done: isize) -> io::Result<usize> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as usize) }
}

/// What became ready.
pub struct Events {
    buffer: Vec<libc::epoll_event>,
    len: usize,
}

impl Events {
    /// Room for so many.
    pub fn with_capacity(events: usize) -> Events {
        Events { buffer: vec![libc::epoll_event { events: 0, u64: 0 }; events], len: 0 }
    }

    /// Token and readiness of the event at `n`.
    pub fn get(&self, n: usize) -> (u64, u32) {
        let event = self.buffer[n];
        (event.u64, event.events)
    }
}

/// An epoll instance.
pub struct Epoll(OwnedFd);

impl Epoll {
    /// A new one.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers; the descriptor is new, and nobody else has it.
        unsafe {
            let fd = check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            Ok(Epoll(OwnedFd::from_raw_fd(fd)))
        }
    }

    fn control(&self, what: i32, fd: RawFd, interest: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest, u64: token };
        // SAFETY: the event is a valid local; a descriptor that is not open is an error.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), what, fd, &mut event) })?;
        Ok(())
    }

    /// Watches a descriptor.
    pub fn add(&self, fd: &impl AsRawFd, interest: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), interest, token)
    }

    /// Watches it for something else.
    pub fn modify(&self, fd: &impl AsRawFd, interest: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), interest, token)
    }

    /// How many are ready; waits so many ms at most, for ever with -1.
    pub fn wait(&self, events: &mut Events, ms: i32) -> usize {
        let room = events.buffer.len() as i32;
        // SAFETY: the buffer holds as many events as it is said to.
        let n =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.buffer.as_mut_ptr(), room, ms) };
        // A signal came: nothing is ready.
        events.len = n.max(0) as usize;
        events.len
    }
}

/// The next connection, not blocking.
pub fn accept(listener: &impl AsRawFd) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let none = std::ptr::null_mut();
    // SAFETY: no address is asked for; the descriptor is new, and nobody else has it.
    unsafe {
        let fd = check(libc::accept4(listener.as_raw_fd(), none, std::ptr::null_mut(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Starts a connection, not blocking, that is reset when it is dropped: so no port stays
/// in TIME_WAIT.
pub fn connect(to: SocketAddr) -> io::Result<OwnedFd> {
    use socket2::{Domain, Protocol, SockAddr, Socket, Type};
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(to), kind, Some(Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(&SockAddr::from(to)) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok(socket.into()),
    }
}

/// Reads once.
pub fn read(fd: &impl AsRawFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is as long as it is said to be.
    count(unsafe { libc::read(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) })
}

/// Writes once, and raises no signal.
pub fn write(fd: &impl AsRawFd, from: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: the buffer is as long as it is said to be.
    count(unsafe { libc::send(fd.as_raw_fd(), from.as_ptr().cast(), from.len(), flags) })
}

/// Where a datagram came from, as the kernel writes it.
pub struct Sender {
    address: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl Default for Sender {
    fn default() -> Sender {
        // SAFETY: all zero is a valid address, of no family.
        Sender { address: unsafe { std::mem::zeroed() }, len: 0 }
    }
}

/// Receives one datagram.
pub fn receive_from(fd: &impl AsRawFd, into: &mut [u8], from: &mut Sender) -> io::Result<usize> {
    from.len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let address = (&raw mut from.address).cast();
    // SAFETY: the buffer and the address are as long as they are said to be.
    count(unsafe {
        let (buffer, room) = (into.as_mut_ptr().cast(), into.len());
        libc::recvfrom(fd.as_raw_fd(), buffer, room, 0, address, &raw mut from.len)
    })
}

/// Sends one datagram back.
pub fn send_to(fd: &impl AsRawFd, data: &[u8], to: &Sender) -> io::Result<usize> {
    let address = (&raw const to.address).cast();
    // SAFETY: the buffer is as long as it is said to be; the kernel wrote the address and its
    // length, which is at most that of the storage.
    count(unsafe {
        let flags = libc::MSG_NOSIGNAL;
        libc::sendto(fd.as_raw_fd(), data.as_ptr().cast(), data.len(), flags, address, to.len)
    })
}

/// Sends a run of datagrams of this length by one call; the kernel cuts it (`UDP_SEGMENT`).
pub fn send_run(fd: &impl AsRawFd, data: &[u8], piece: u16, to: &Sender) -> io::Result<usize> {
    let mut control = [0_u64; 4];
    let iov_base = data.as_ptr().cast_mut().cast();
    let mut iov = libc::iovec { iov_base, iov_len: data.len() };
    // SAFETY: a header of zeroes is a valid one. It points to an address that the kernel wrote, to
    // data that is only read, and to control bytes with room for one message of two bytes, which
    // is written inside of them; all of that outlives the call.
    count(unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_name = (&raw const to.address).cast_mut().cast();
        header.msg_namelen = to.len;
        header.msg_iov = &mut iov;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(2) as usize;
        let message = libc::CMSG_FIRSTHDR(&header);
        (*message).cmsg_level = libc::IPPROTO_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(2) as usize;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(piece);
        libc::sendmsg(fd.as_raw_fd(), &header, libc::MSG_NOSIGNAL)
    })
}

fn set(fd: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: one int of a local, of that size.
    check(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len)
    })?;
    Ok(())
}

/// What is written to a UDP socket leaves in datagrams of this length.
pub fn set_segment(fd: &impl AsRawFd, piece: usize) -> io::Result<()> {
    set(fd, libc::IPPROTO_UDP, libc::UDP_SEGMENT, piece as i32)
}

/// A UDP socket receives many datagrams in one piece, and has a large buffer, if this is root.
pub fn set_bulk(fd: &impl AsRawFd, buffer: usize) -> io::Result<()> {
    let _ = set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, buffer as i32);
    set(fd, libc::IPPROTO_UDP, libc::UDP_GRO, 1)
}

/// A counter that wakes an epoll.
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new one, not blocking.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: no pointers; the descriptor is new, and nobody else has it.
        unsafe {
            let fd = check(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))?;
            Ok(EventFd(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Adds one.
    pub fn wake(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes of a local.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Back to zero.
    pub fn clear(&self) {
        let mut n = 0_u64;
        // SAFETY: eight bytes of a local.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut n).cast(), 8) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until there is room to write.
pub fn wait_writable(fd: &impl AsRawFd) {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid local.
    while unsafe { libc::poll(&mut poll, 1, -1) } < 1 {}
}

/// Waits until there is something to read.
pub fn wait_readable(fd: &impl AsRawFd) {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid local.
    while unsafe { libc::poll(&mut poll, 1, -1) } < 1 {}
}
