//! What a datagram allocates, how many system calls it takes, and what an idle UDP socket costs.

use std::cell::Cell;
use std::net::UdpSocket;
use std::rc::Rc;

use tidegate::net::SendOptions;
use tidegate::prelude::*;

use crate::allocation;
use crate::support::*;

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// An echo of each datagram of these bursts; how much one burst allocates later.
fn bursts(size: usize, burst: u64) -> (u64, tidegate::net::UdpStats) {
    let mut lp = guarded();
    let echo = OnDatagram::new(|u, data, meta| {
        assert_eq!(u.send_to(data, meta.from), SendFlow::Ready);
    });
    let key = lp.udp("127.0.0.1:0", echo).unwrap();
    let at = lp.datagrams(key).local_addr().unwrap();
    let client = peer();
    let mut data = vec![0; size];
    let mut round = |lp: &mut Loop, n: u64| {
        for _ in 0..burst {
            client.send_to(&data, at).unwrap();
        }
        let before = allocation::calls();
        turn_until(lp, |lp| lp.datagrams(key).stats().unwrap().sent == n * burst);
        let during = allocation::calls() - before;
        for _ in 0..burst {
            client.recv(&mut data).unwrap();
        }
        during
    };
    for n in 1..=20 {
        round(&mut lp, n);
    }
    let later = (21..=220).map(|n| round(&mut lp, n)).sum();
    (later, lp.datagrams(key).stats().unwrap())
}

#[test]
fn an_echoed_datagram_allocates_nothing() {
    for burst in [1, 16, 64] {
        let (allocations, stats) = bursts(100, burst);
        assert_eq!(allocations, 0, "in 200 bursts of {burst}");
        if burst == 1 && cfg!(target_os = "linux") && !cfg!(mio_unsupported_force_poll_poll) {
            assert_eq!((stats.receive_calls, stats.send_calls), (220, 220));
        }
    }
}

/// A burst that waits together takes few calls, both ways.
#[test]
#[cfg(all(target_os = "linux", not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))))]
fn a_burst_of_64_takes_few_system_calls() {
    let (_, stats) = bursts(100, 64);
    let each = |calls: u64| calls as f64 / 220.0;
    let (receives, sends) = (each(stats.receive_calls), each(stats.send_calls));
    println!("{receives:.2} receives and {sends:.2} sends for a burst of 64");
    assert!(receives <= 10.0 && sends <= 10.0, "{stats:?}");
}

/// With an id each answer is a callback, and still no allocation.
#[test]
fn an_answered_datagram_allocates_nothing() {
    let mut lp = guarded();
    let told = Rc::new(Cell::new(0));
    let t = told.clone();
    let handler = OnDatagram::new(|_, _, _| {}).sent(move |_, _, _| t.set(t.get() + 1));
    let key = lp.udp("127.0.0.1:0", handler).unwrap();
    let client = peer();
    let to = client.local_addr().unwrap();
    let round = |lp: &mut Loop, n: u64| {
        let before = allocation::calls();
        let _ = lp.datagrams(key).send_with(b"x", SendOptions::to(to).id(n));
        turn_until(lp, |_| told.get() == n);
        client.recv(&mut [0; 9]).unwrap();
        allocation::calls() - before
    };
    for n in 1..=10 {
        round(&mut lp, n);
    }
    let later: u64 = (11..=200).map(|n| round(&mut lp, n)).sum();
    assert_eq!(later, 0);
}

#[test]
fn an_idle_udp_socket_is_small() {
    struct Silent;
    impl UdpHandler for Silent {
        fn on_datagram(&mut self, _: &mut UdpCx<'_>, _: &[u8], _: &tidegate::net::Meta) {}
    }
    // Just below two powers of two: then all that is reserved is used.
    const FEW: usize = 120;
    const MANY: usize = 500;
    let mut lp = guarded();
    let mut grow = |n: usize| {
        for _ in lp.udp_sockets().len()..n {
            lp.udp("127.0.0.1:0", Silent).unwrap();
        }
        lp.run_nowait().unwrap();
        allocation::live()
    };
    let before = grow(FEW);
    let each = (grow(MANY) - before) as usize / (MANY - FEW);
    println!("{each} bytes for each idle UDP socket");
    let list = cfg!(mio_unsupported_force_poll_poll);
    assert!(each <= 200 || list, "{each} bytes");
}
