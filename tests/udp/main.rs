//! UDP sockets on the loopback. The numbers in the names (`b01_`) are those of the behaviours in
//! tests/README.md.

#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/mod.rs"]
mod support;

mod binding;
mod connected;
mod errors;
mod groups;
mod life;
mod observed;
mod queue;
mod receiving;
mod refused;
mod sending;

use std::cell::RefCell;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use tidegate::net::Meta;
use tidegate::prelude::*;

/// What a handler got.
pub(crate) type Got = Rc<RefCell<Vec<(Vec<u8>, Meta)>>>;

/// A handler that keeps everything.
pub(crate) fn keeps() -> (Got, OnDatagram) {
    let got = Got::default();
    let to = got.clone();
    (got, OnDatagram::new(move |_, data, meta| to.borrow_mut().push((data.to_vec(), *meta))))
}

/// A handler that expects nothing.
pub(crate) fn nothing() -> OnDatagram {
    OnDatagram::new(|_, data, meta| panic!("{} bytes from {}", data.len(), meta.from))
}

/// A socket of the standard library's, with a deadline.
pub(crate) fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(support::DEADLINE)).unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

/// What it received next.
#[track_caller]
pub(crate) fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut data = vec![0; 70_000];
    let (len, _) = socket.recv_from(&mut data).unwrap();
    data.truncate(len);
    data
}

/// Opens one, and its address.
pub(crate) fn open(
    lp: &mut Loop,
    at: impl Into<UdpOptions>,
    handler: impl UdpHandler,
) -> (UdpKey, SocketAddr) {
    let key = lp.udp(at, handler).unwrap();
    let at = lp.datagrams(key).local_addr().unwrap();
    (key, at)
}

/// The bytes of each datagram that was kept.
pub(crate) fn bytes(got: &Got) -> Vec<Vec<u8>> {
    got.borrow().iter().map(|(data, _)| data.clone()).collect()
}

/// Runs the test in a network of its own, where that is permitted: there nobody else uses up what
/// the kernel allows of ICMP messages.
pub(crate) fn alone(test: impl FnOnce() + Send) {
    match netns::Netns::new() {
        Ok(net) => net.inside(|| {
            let _ = std::fs::write("/proc/sys/net/ipv4/icmp_msgs_burst", "10000");
            test();
        }),
        Err(_) => test(),
    }
}

/// Waits until nobody has the address. (A test beside may start a process, which has every
/// descriptor for a moment.)
pub(crate) fn is_free(at: SocketAddr) {
    let end = std::time::Instant::now() + support::DEADLINE;
    while let Err(e) = UdpSocket::bind(at) {
        assert!(std::time::Instant::now() < end, "{at}: {e}");
        std::thread::yield_now();
    }
}

/// An address that nobody has, and had: a port below those that the system chooses. (One that was
/// open a moment ago may still be, in a process that a test beside started.)
pub(crate) fn gone() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    ([127, 0, 0, 1], NEXT.fetch_add(1, Ordering::Relaxed)).into()
}
