//! How sockets end, stale keys, and what a loop with sockets says of itself.

use std::time::Duration;

use tidegate::net::UdpOptions;
use tidegate::prelude::*;

use crate::support::*;
use crate::{is_free, keeps, nothing, open, peer};

#[test]
fn b66_on_close_comes_once_and_last() {
    let mut lp = guarded();
    let log = Log::default();
    let (l, m) = (log.clone(), log.clone());
    let handler = OnDatagram::new(move |u, _, _| {
        l.add("datagram");
        u.destroy();
        u.destroy();
        u.end();
        u.resume();
    })
    .close(move |u, close| {
        m.add(format!("close {close}"));
        u.destroy();
        assert_eq!(u.send(b"x"), SendFlow::Closed);
    });
    let (key, at) = open(&mut lp, "127.0.0.1:0", handler);
    let (sender, _) = peer();
    sender.send_to(b"x", at).unwrap();
    sender.send_to(b"y", at).unwrap();
    lp.run().unwrap();
    assert!(lp.cx().close(key).is_err());
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[0], "datagram");
    assert!(lines.len() == 2 && lines[1].starts_with("close destroyed"), "{lines:?}");
    // The port is free.
    is_free(at);
}

#[test]
fn b67_a_stale_key_finds_nothing() {
    let mut lp = guarded();
    let (key, _) = open(&mut lp, "127.0.0.1:0", nothing());
    lp.cx().close(key).unwrap();
    lp.run().unwrap();
    let mut other = guarded();
    let (foreign, _) = open(&mut other, "127.0.0.1:0", nothing());
    let to = peer().1;
    for key in [key, foreign] {
        let mut u = lp.datagrams(key);
        assert_eq!((u.send(b"x"), u.send_to(b"x", to)), (SendFlow::Closed, SendFlow::Closed));
        assert!(u.try_send(b"x").is_err() && u.local_addr().is_err() && u.connect(to).is_err());
        assert!(u.disconnect().is_err() && u.stats().is_err() && u.queues().is_err());
        assert!(u.gauge().is_err() && u.set_ttl(3).is_err() && u.set_broadcast(true).is_err());
        assert_eq!((u.peer_addr(), u.is_paused(), u.waiting().datagrams), (None, false, 0));
        u.pause();
        u.resume();
        u.end();
        u.destroy();
        u.set_handler(nothing());
    }
    assert!(other.is_open(foreign));
}

#[test]
fn b68_b69_from_elsewhere_all_together_and_why_alive() {
    let mut lp = guarded();
    let log = Log::default();
    let add = |log: &Log| {
        let log = log.clone();
        nothing().close(move |_, close| log.add(close.reason.to_string()))
    };
    let (key, at) = open(&mut lp, "127.0.0.1:0", add(&log));
    let to = peer().1;
    let (client, _) = open(&mut lp, UdpOptions::client(to), add(&log));
    lp.datagrams(client).pause();
    let alive: Vec<_> = lp.why_alive().iter().map(|h| h.to_string()).collect();
    assert!(alive[0].starts_with("udp ") && alive[0].contains(&format!("on {at}")), "{alive:?}");
    assert!(alive[1].contains(&format!("with {to}, paused")), "{alive:?}");
    lp.after(Duration::from_millis(1), move |cx| cx.datagrams(key).destroy());
    lp.after(Duration::from_millis(2), move |cx| cx.close_all());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["destroyed", "destroyed"]);
}

/// udx-native#51: what the kernel drops is in no other number.
#[test]
#[cfg(target_os = "linux")]
fn b70_the_kernel_s_drops_are_sent_minus_received() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let (key, at) = open(&mut lp, UdpOptions::new("127.0.0.1:0").receive_buffer(1), handler);
    let gauge = lp.datagrams(key).gauge().unwrap();
    let (sender, _) = peer();
    for _ in 0..500 {
        sender.send_to(&[0; 100], at).unwrap();
    }
    // As another thread sees it, while this one is busy.
    let queues = std::thread::spawn(move || gauge.read()).join().unwrap().unwrap();
    let drops = queues.drops.unwrap();
    assert!(drops > 0 && queues.receive.unwrap() > 0, "{queues:?}");
    turn_until(&mut lp, |_| got.borrow().len() as u64 + drops == 500);
    lp.run_nowait().unwrap();
    assert_eq!(got.borrow().len() as u64 + drops, 500);
    assert_eq!(lp.datagrams(key).queues().unwrap().receive, Some(0));
    assert_eq!(lp.udp_sockets()[0].queues.drops, Some(drops));
    let gauge = lp.datagrams(key).gauge().unwrap();
    lp.datagrams(key).destroy();
    assert!(gauge.read().is_err());
    is_free(at);
}

/// Receive buffers belong to the loop (otp#10564): `cost::datagrams::an_idle_udp_socket_is_small`
/// counts the bytes.
#[test]
fn b51_many_idle_sockets_open_and_close() {
    let mut lp = guarded();
    let keys: Vec<_> = (0..200).map(|_| open(&mut lp, "127.0.0.1:0", nothing()).0).collect();
    assert_eq!(lp.udp_sockets().len(), 200);
    for key in keys {
        lp.datagrams(key).destroy();
    }
    lp.run().unwrap();
    assert!(lp.udp_sockets().is_empty());
}
