//! The error queue: errors of the network for sockets that are not connected.
#![cfg(target_os = "linux")]

use std::time::Duration;

use tidegate::net::UdpOptions;
use tidegate::prelude::*;

use crate::support::*;
use crate::{alone, gone, nothing, open, peer, received};

/// One with `transport_errors`, and what it heard.
fn listening(lp: &mut Loop) -> (UdpKey, Log) {
    let log = Log::default();
    let to = log.clone();
    let handler = nothing()
        .error(move |_, e| to.add(format!("{:?} {}", e.code(), e.remote().unwrap())))
        .send_error(|_, e| panic!("{e}"));
    let options = UdpOptions::new("127.0.0.1:0").transport_errors(true);
    (open(lp, options, handler).0, log)
}

#[test]
fn b56_b57_an_error_names_its_destination_and_costs_others_nothing() {
    alone(|| {
        let mut lp = guarded();
        let (key, log) = listening(&mut lp);
        let dead = [gone(), gone(), gone()];
        let (living, at) = peer();
        // Bun#36249: here the living one loses its datagram.
        for there in dead {
            let _ = lp.datagrams(key).send_to(b"dead", there);
            let _ = lp.datagrams(key).send_to(b"living", at);
            turn_until(&mut lp, |_| log.has(&format!("Some(\"ECONNREFUSED\") {there}")));
            assert_eq!(received(&living), b"living");
        }
        // The same without a turn between.
        for there in dead {
            lp.datagrams(key).try_send_to(b"dead", there).unwrap();
            lp.datagrams(key).try_send_to(b"living", at).unwrap();
            assert_eq!(received(&living), b"living");
        }
        turn_until(&mut lp, |_| log.lines().len() == 6);
        assert_eq!(lp.datagrams(key).stats().unwrap().transport_errors, 6);
    });
}

#[test]
fn b58_b60_errors_do_not_make_the_loop_spin() {
    alone(|| {
        let mut lp = guarded();
        let (key, log) = listening(&mut lp);
        lp.datagrams(key).pause();
        for _ in 0..5 {
            lp.datagrams(key).try_send_to(b"x", gone()).unwrap();
        }
        let before = lp.metrics().turns;
        run_for(&mut lp, Duration::from_millis(20));
        let turns = lp.metrics().turns - before;
        assert!(turns < 10, "{turns} turns of a paused socket");
        lp.datagrams(key).resume();
        turn_until(&mut lp, |_| log.lines().len() == 5);
        let before = lp.metrics().turns;
        run_for(&mut lp, Duration::from_millis(20));
        let turns = lp.metrics().turns - before;
        assert!(turns < 10, "{turns} turns after the errors were heard");
    });
}

/// Bun#35922 tells it twice: by the send, and by the queue.
#[test]
fn b59_our_own_too_big_is_told_once() {
    let mut lp = guarded();
    let log = Log::default();
    let (l, m) = (log.clone(), log.clone());
    let handler = nothing()
        .error(move |_, e| l.add(format!("error {e}")))
        .send_error(move |_, e| m.add(format!("send {}", e.error.code().unwrap())));
    let options = UdpOptions::new("127.0.0.1:0").transport_errors(true).dont_fragment(true);
    let (key, _) = open(&mut lp, options, handler);
    let _ = lp.datagrams(key).send_to(&[0; 65_507 + 1], peer().1);
    turn_until(&mut lp, |_| !log.lines().is_empty());
    run_for(&mut lp, Duration::from_millis(5));
    assert_eq!(log.lines(), ["send EMSGSIZE"]);
}

#[test]
fn b60_many_errors_are_heard_in_bounded_passes() {
    alone(|| {
        let mut lp = guarded();
        let (key, log) = listening(&mut lp);
        let nobody = gone();
        let mut told = 0;
        while told < 150 {
            told += usize::from(lp.datagrams(key).try_send_to(b"x", nobody).is_ok());
        }
        // The kernel limits how many it makes.
        turn_until(&mut lp, |lp| {
            let _ = lp.datagrams(key).send_to(b"x", nobody);
            log.lines().len() > 100
        });
        let stats = lp.datagrams(key).stats().unwrap();
        assert_eq!(stats.transport_errors as usize, log.lines().len());
    });
}
