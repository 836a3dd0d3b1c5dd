//! What an observer sees: batches, not datagrams.

use tidegate::net::{NetEvent, ReceiveEnd, UdpEvent, UdpOptions};
use tidegate::prelude::*;

use crate::support::*;
use crate::{alone, gone, keeps, nothing, open, peer};

#[test]
fn events_come_by_batch_and_the_last_is_the_close() {
    let mut lp = guarded();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let (got, handler) = keeps();
    let (key, at) = open(&mut lp, "127.0.0.1:0", handler);
    let (sender, there) = peer();
    for _ in 0..10 {
        sender.send_to(b"x", at).unwrap();
    }
    turn_until(&mut lp, |_| got.borrow().len() == 10);
    for _ in 0..10 {
        let _ = lp.datagrams(key).send_to(b"y", there);
    }
    turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().sent == 10);
    lp.datagrams(key).pause();
    lp.datagrams(key).resume();
    lp.datagrams(key).connect(there).unwrap();
    lp.datagrams(key).destroy();
    lp.run().unwrap();
    let events = trace.net().into_iter().filter_map(|(_, e)| match e {
        NetEvent::Udp(of, event) if of.key == key => Some(event),
        _ => None,
    });
    let events: Vec<_> = events.collect();
    let names: Vec<_> = events.iter().map(|e| e.name()).collect();
    let received = names.iter().filter(|n| **n == "received").count();
    assert!(received < 10, "{names:?}");
    let rest: Vec<_> = names.iter().filter(|n| **n != "received").copied().collect();
    assert_eq!(rest, ["bound", "sent", "pause", "resume", "connected", "close"]);
    let all = events.iter().filter_map(|e| match e {
        UdpEvent::Received { datagrams, stopped, .. } => {
            assert_ne!(*stopped, ReceiveEnd::Stopped);
            Some(*datagrams)
        }
        _ => None,
    });
    let all: u32 = all.sum();
    assert_eq!(all, 10);
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a refused datagram is not told")]
fn failures_are_events_and_counters() {
    alone(|| {
        let mut lp = guarded();
        let trace = Trace::default();
        lp.observe(trace.clone());
        let handler = nothing().send_error(|_, _| {}).error(|_, _| {});

        let (key, _) = open(&mut lp, UdpOptions::client(gone()), handler);
        let _ = lp.datagrams(key).send(&[0; 65_508]);
        let _ = lp.datagrams(key).send(b"x");
        turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().transport_errors == 1);
        let names: Vec<_> = trace.net().iter().map(|(_, e)| e.to_string()).collect();
        let has = |word: &str| names.iter().filter(|n| n.contains(word)).count();
        assert_eq!((has("send failed"), has("transport error")), (1, 1), "{names:?}");
    });
}
