//! What the system refuses for a moment, in part, or in one form: by rules and devices of a network
//! namespace, not by injection.
#![cfg(target_os = "linux")]

use std::net::{SocketAddr, UdpSocket};

use tidegate::net::{SendOptions, UdpOptions};
use tidegate::prelude::*;

use crate::binding::turn_on;
use crate::netns::{Netns, run};
use crate::support::*;
use crate::{nothing, open, peer, received};

/// Runs the test in a network of its own, after these commands; skips it where one of them fails.
fn with(commands: &[&str], test: impl FnOnce() + Send) {
    let net = match Netns::new() {
        Ok(net) => net,
        Err(e) => return eprintln!("skipped: {e}"),
    };
    net.inside(|| match commands.iter().try_for_each(|command| run(command)) {
        Ok(()) => test(),
        Err(e) => eprintln!("skipped: {e}"),
    });
}

/// A device's queue that is full: nothing announces when it is not.
#[test]
fn b27_no_buffers_is_tried_again_until_there_are_some() {
    with(&["tc qdisc add dev lo root pfifo limit 0"], || {
        let mut lp = guarded();
        // Without the error queue the kernel drops silently.
        let options = UdpOptions::new("127.0.0.1:0").transport_errors(true);
        let handler = nothing().send_error(|_, e| panic!("{e}")).error(|_, e| panic!("{e}"));
        let (key, _) = open(&mut lp, options, handler);
        let (socket, to) = peer();
        for data in [&b"one"[..], b"two", b"three"] {
            assert_eq!(lp.datagrams(key).send_to(data, to), SendFlow::Ready);
        }
        turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().stalls >= 3);
        assert_eq!(lp.datagrams(key).waiting().datagrams, 3);
        assert_eq!(lp.datagrams(key).stats().unwrap().sent, 0);
        run("tc qdisc del dev lo root").unwrap();
        turn_until(&mut lp, |lp| lp.datagrams(key).waiting().datagrams == 0);
        for data in [&b"one"[..], b"two", b"three"] {
            assert_eq!(received(&socket), data);
        }
    });
}

/// A firewall forbids one of three destinations, so each batch is taken in part.
#[test]
fn b28_a_batch_that_is_taken_in_part_loses_nothing() {
    let rules =
        ["nft add table ip t", "nft add chain ip t out { type filter hook output priority 0 ; }"];
    with(&rules, || {
        let peers: Vec<_> = (0..3).map(|_| peer()).collect();
        let forbidden = peers[1].1;
        run(&format!("nft add rule ip t out udp dport {} drop", forbidden.port())).unwrap();
        let mut lp = guarded();
        let told = Log::default();
        let t = told.clone();
        let handler = nothing().send_error(move |_, e| {
            t.add(format!("{} {} {}", e.to.unwrap(), e.len, e.error.code().unwrap()));
        });
        let (key, _) = open(&mut lp, "127.0.0.1:0", handler);
        for n in 0..90u8 {
            let data = vec![n; 100 + usize::from(n)];
            let to = peers[usize::from(n) % 3].1;
            assert_eq!(lp.datagrams(key).send_to(&data, to), SendFlow::Ready);
        }
        turn_until(&mut lp, |_| told.lines().len() == 30);
        let expected = (0..30).map(|i| format!("{forbidden} {} EPERM", 101 + 3 * i));
        assert_eq!(told.lines(), expected.collect::<Vec<_>>());
        for n in (0..90u8).filter(|n| n % 3 != 1) {
            assert_eq!(received(&peers[usize::from(n) % 3].0), vec![n; 100 + usize::from(n)]);
        }
        let stats = lp.datagrams(key).stats().unwrap();
        assert_eq!((stats.sent, stats.send_errors), (60, 30));
    });
}

/// Sends so many of this length, and receives them.
fn burst(lp: &mut Loop, key: UdpKey, (socket, to): &(UdpSocket, SocketAddr), n: u8, len: usize) {
    for i in 0..n {
        assert_eq!(lp.datagrams(key).send_to(&vec![i; len], *to), SendFlow::Ready);
    }
    turn_until(lp, |lp| lp.datagrams(key).waiting().datagrams == 0);
    (0..n).for_each(|i| assert_eq!(received(socket), vec![i; len]));
}

/// Runs of pieces that are longer than the device takes are refused, and shorter ones are not.
#[test]
fn b34_pieces_beyond_the_mtu_leave_uncut() {
    with(&["ip link set lo mtu 1100"], || {
        let mut lp = guarded();
        let handler = nothing().send_error(|_, e| panic!("{e}")).error(|_, e| panic!("{e}"));
        let (key, _) = open(&mut lp, "127.0.0.1:0", handler);
        let there = peer();
        burst(&mut lp, key, &there, 20, 1200);
        assert_eq!(lp.datagrams(key).stats().unwrap().runs, 0);
        burst(&mut lp, key, &there, 20, 500);
        assert_eq!(lp.datagrams(key).stats().unwrap().runs, 1);
        // One buffer in pieces: the same.
        let how = SendOptions::to(there.1).segment(1200);
        assert_eq!(lp.datagrams(key).send_with(&[9; 6000], how), SendFlow::Ready);
        turn_until(&mut lp, |lp| lp.datagrams(key).waiting().datagrams == 0);
        (0..5).for_each(|_| assert_eq!(received(&there.0), [9; 1200]));
        assert_eq!(lp.datagrams(key).stats().unwrap().runs, 1);
    });
}

/// The kernel cuts no runs for a socket without checksums.
#[test]
fn b34_a_socket_that_cuts_no_runs_sends_the_same_without() {
    let mut lp = guarded();
    let (ours, _) = peer();
    turn_on(&ours, libc::SOL_SOCKET, libc::SO_NO_CHECK);
    let handler = nothing().send_error(|_, e| panic!("{e}")).error(|_, e| panic!("{e}"));
    let (key, _) = open(&mut lp, ours, handler);
    let there = peer();
    burst(&mut lp, key, &there, 40, 1200);
    let stats = lp.datagrams(key).stats().unwrap();
    assert_eq!((stats.sent, stats.runs, stats.send_errors), (40, 0, 0));
}
