//! Sockets that are connected to one peer.

use std::io::ErrorKind;

use tidegate::net::{Stage, UdpOptions};
use tidegate::prelude::*;

use crate::support::*;
use crate::{alone, bytes, gone, keeps, nothing, open, peer, received};

#[test]
fn b52_b53_connect_disconnect_and_again() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let (key, at) = open(&mut lp, "127.0.0.1:0", handler);
    let ((a, at_a), (b, at_b)) = (peer(), peer());
    let mut u = lp.datagrams(key);
    assert_eq!(u.peer_addr(), None);
    assert_eq!(u.disconnect().unwrap_err().kind(), ErrorKind::NotConnected);
    for (friend, there, stranger) in [(&a, at_a, &b), (&b, at_b, &a)] {
        let mut u = lp.datagrams(key);
        u.connect(there).unwrap();
        assert_eq!(u.peer_addr(), Some(there));
        assert_eq!(u.send(b"hello"), SendFlow::Ready);
        stranger.send_to(b"stranger", at).unwrap();
        friend.send_to(b"friend", at).unwrap();
        turn_until(&mut lp, |_| !got.borrow().is_empty());
        assert_eq!(received(friend), b"hello");
        assert_eq!(bytes(&got), [b"friend"]);
        got.borrow_mut().clear();
    }
    if cfg!(target_os = "linux") {
        lp.datagrams(key).disconnect().unwrap();
        // The system forgets a port that it chose itself, with the peer: we do not.
        assert_eq!(lp.datagrams(key).local_addr().unwrap().port(), at.port());
        assert_eq!(lp.datagrams(key).peer_addr(), None);
        a.send_to(b"a", at).unwrap();
        b.send_to(b"b", at).unwrap();
        turn_until(&mut lp, |_| got.borrow().len() == 2);
        assert_eq!(lp.datagrams(key).send_to(b"free", at_b), SendFlow::Ready);
        turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().sent == 3);
        assert_eq!(received(&b), b"free");
    }
}

/// A queue that waits does not go to the next peer.
#[test]
#[cfg(target_os = "linux")]
fn what_is_queued_goes_to_the_peer_of_then() {
    let mut lp = guarded();
    let (key, at) = open(&mut lp, "127.0.0.1:0", nothing());
    let ((a, at_a), (b, at_b)) = (peer(), peer());
    let mut u = lp.datagrams(key);
    assert_eq!(u.send_to(b"by address", at_b), SendFlow::Ready);
    u.connect(at_a).unwrap();
    assert_eq!(u.send(b"to a"), SendFlow::Ready);
    u.connect(at_b).unwrap();
    assert_eq!(u.send(b"to b"), SendFlow::Ready);
    u.disconnect().unwrap();
    assert_eq!(u.send_to(b"last", at_a), SendFlow::Ready);
    assert_eq!(u.waiting().datagrams, 4);
    turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().sent == 4);
    assert_eq!([received(&a), received(&a)], [&b"to a"[..], b"last"]);
    assert_eq!([received(&b), received(&b)], [&b"by address"[..], b"to b"]);
    assert_eq!(lp.datagrams(key).local_addr().unwrap().port(), at.port());
}

/// Bun#35923: the datagram after a refused one is lost elsewhere.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a refused datagram is not told")]
fn b54_a_refusal_is_told_once_and_the_next_datagram_arrives() {
    alone(|| {
        let mut lp = guarded();
        let log = Log::default();
        let to = log.clone();
        let handler = nothing().error(move |_, e| {
            to.add(format!("{:?} {:?} {:?}", e.stage(), e.code().unwrap(), e.remote()));
        });
        let there = gone();
        let (key, _) = open(&mut lp, UdpOptions::client(there), handler);
        let _ = lp.datagrams(key).send(b"to nobody");
        turn_until(&mut lp, |_| log.lines().len() == 1);
        assert_eq!(log.lines(), [format!("{:?} \"ECONNREFUSED\" Some({there})", Stage::Receive)]);
        let socket = std::net::UdpSocket::bind(there).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let _ = lp.datagrams(key).send(b"to somebody");
        turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().sent == 2);
        assert_eq!(received(&socket), b"to somebody");
        assert_eq!(lp.datagrams(key).stats().unwrap().transport_errors, 1);
    });
}

/// The refusal is there before the next send asks the kernel.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a refused datagram is not told")]
fn b54_a_send_that_meets_an_old_refusal_is_sent_again() {
    [false, true].into_iter().for_each(|queued| {
        alone(|| {
            let mut lp = guarded();
            let log = Log::default();
            let to = log.clone();
            let handler = nothing().error(move |_, e| to.add(e.code().unwrap()));
            let there = gone();
            let (key, _) = open(&mut lp, UdpOptions::client(there), handler);
            // No turn between: on the loopback the answer is there when the call returns.
            lp.datagrams(key).try_send(b"to nobody").unwrap();
            let socket = std::net::UdpSocket::bind(there).unwrap();
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            if queued {
                let _ = lp.datagrams(key).send(b"one");
            } else {
                lp.datagrams(key).try_send(b"one").unwrap();
            }
            turn_until(&mut lp, |_| !log.lines().is_empty());
            assert_eq!(received(&socket), b"one");
            assert_eq!(log.lines(), ["ECONNREFUSED"]);
        })
    });
}

/// A peer that is gone costs no connected socket its life.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a refused datagram is not told")]
fn b54_forty_refusals_do_not_close_it() {
    alone(|| {
        let mut lp = guarded();
        let log = Log::default();
        let to = log.clone();
        let handler =
            nothing().error(move |_, _| to.add("refused")).close(|_, close| panic!("{close}"));
        let (key, _) = open(&mut lp, UdpOptions::client(gone()), handler);
        for n in 1..=40 {
            let _ = lp.datagrams(key).send(b"x");
            turn_until(&mut lp, |_| log.lines().len() == n);
        }
    });
}

#[test]
fn b55_every_form_of_a_connected_send() {
    let mut lp = guarded();
    let (socket, there) = peer();
    let (key, _) = open(&mut lp, UdpOptions::client(there), nothing());
    let mut u = lp.datagrams(key);
    let parts = [std::io::IoSlice::new(b"a"), std::io::IoSlice::new(b"b")];
    let how = tidegate::net::SendOptions::default;
    assert_eq!(u.send(b"one"), SendFlow::Ready);
    assert_eq!(u.send_with(b"two", how()), SendFlow::Ready);
    assert_eq!(u.send_vectored(&parts, how()), SendFlow::Ready);
    u.try_send(b"last").unwrap();
    let all: Vec<_> = (0..4).map(|_| received(&socket)).collect();
    assert_eq!(all, [&b"one"[..], b"two", b"ab", b"last"]);
}
