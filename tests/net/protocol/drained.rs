//! `end_and_drain`: our side ends, what the peer still sends is dropped, within bounds.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use tidegate::net::{Protocol, Reason};
use tidegate::prelude::*;

use crate::support::*;

const LONG: Duration = Duration::from_secs(600);

/// Logs all but the data, of which there must be none.
fn logs(log: &Log) -> On {
    let (finish, close) = (log.clone(), log.clone());
    On::new().data(|_, _| panic!("it is dropped")).finish(move |_| finish.add("finish")).close(
        move |_, c| match c.reason {
            Reason::TimedOut(which, _) => close.add(format!("{which}, {:?}", c.reset)),
            reason => close.add(format!("{reason}, {:?}", c.reset)),
        },
    )
}

/// What the peer could read; whether it ended in good order.
fn read(mut s: &TcpStream) -> (usize, bool) {
    let mut all = Vec::new();
    let done = s.read_to_end(&mut all);
    (all.len(), done.is_ok())
}

/// The peer sends 10 MiB before it reads: the answer reaches it.
#[test]
fn the_answer_reaches_a_peer_that_still_sends() {
    static NEVER: Protocol = Protocol::new("never")
        .readable(|_, _, _| panic!("it is dropped"))
        .close(|_, _, _, close| assert!(matches!(close.reason, Reason::Ended)));
    for pull in [false, true] {
        let mut lp = guarded();
        let (peer, ours) = pair();
        let log = Log::default();
        let sender = thread::spawn(move || {
            write_all(&peer, &vec![0; 10 << 20]);
            peer.shutdown(Shutdown::Write).unwrap();
            read(&peer)
        });
        let key = match pull {
            false => lp.adopt(ours, logs(&log)).unwrap(),
            true => lp.adopt_as(ours, &NEVER, 0).unwrap(),
        };
        let _ = lp.socket(key).write(vec![1; 100_000]);
        lp.socket(key).end_and_drain(u64::MAX, LONG, LONG);
        lp.run().unwrap();
        assert_eq!(sender.join().unwrap(), (100_000, true));
        if !pull {
            assert_eq!(log.lines(), ["finish", "both sides ended, No"]);
        }
        assert_eq!(lp.net_metrics().bytes_read, 10 << 20);
    }
}

#[test]
fn silence_is_the_end_of_it() {
    let (mut lp, script) = scripted();
    let (peer, ours) = pair();
    let log = Log::default();
    let key = lp.adopt(ours, logs(&log)).unwrap();
    lp.socket(key).end_and_drain(1000, Duration::from_millis(5), Duration::from_millis(30));
    poll_until(&mut lp, |_| log.has("finish"));
    for _ in 0..5 {
        script.advance(Duration::from_millis(4));
        let before = lp.socket(key).bytes_read();
        write_all(&peer, b"more");
        poll_until(&mut lp, |lp| lp.socket(key).bytes_read() == before + 4);
    }
    script.advance(Duration::from_millis(4));
    lp.run_nowait().unwrap();
    assert!(lp.socket(key).state().is_ok());
    script.advance(Duration::from_millis(2));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["finish", "destroyed, No"]);
    assert_eq!(read(&peer), (0, true));
}

#[test]
fn the_total_is_the_end_of_it() {
    let (mut lp, script) = scripted();
    let (peer, ours) = pair();
    let log = Log::default();
    let key = lp.adopt(ours, logs(&log)).unwrap();
    lp.socket(key).end_and_drain(1000, Duration::ZERO, Duration::from_millis(30));
    poll_until(&mut lp, |_| log.has("finish"));
    script.advance(Duration::from_millis(29));
    lp.run_nowait().unwrap();
    assert!(lp.socket(key).state().is_ok());
    script.advance(Duration::from_millis(2));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["finish", "destroyed, No"]);
    drop(peer);
}

/// Before the connection is made, the total counts from then.
#[test]
fn the_total_counts_from_the_connect() {
    let (mut lp, script) = scripted();
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let log = Log::default();
    let key = lp.connect(there.local_addr().unwrap(), logs(&log));
    lp.socket(key).end_and_drain(1000, Duration::ZERO, Duration::from_millis(30));
    let (peer, _) = there.accept().unwrap();
    poll_until(&mut lp, |_| log.has("finish"));
    script.advance(Duration::from_millis(29));
    lp.run_nowait().unwrap();
    assert!(lp.socket(key).state().is_ok());
    script.advance(Duration::from_millis(2));
    poll_until(&mut lp, |lp| lp.socket(key).state().is_err());
    assert_eq!(log.lines(), ["finish", "destroyed, No"]);
    drop(peer);
}

/// A peer that reads nothing does not get the answer, but a reset.
#[test]
fn the_total_counts_while_the_answer_waits() {
    let (mut lp, script) = scripted();
    let (peer, ours) = pair();
    let log = Log::default();
    let key = lp.adopt(ours, logs(&log)).unwrap();
    let _ = lp.socket(key).write(vec![1; 16 << 20]);
    lp.socket(key).end_and_drain(1000, Duration::from_millis(5), Duration::from_millis(30));
    script.advance(Duration::from_millis(29));
    lp.run_nowait().unwrap();
    assert!(lp.socket(key).state().is_ok(), "silence counts from our end");
    script.advance(Duration::from_millis(2));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["lifetime, Sent"]);
    drop(peer);
}

#[test]
fn too_many_bytes_are_the_end_of_it() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let log = Log::default();
    let key = lp.adopt(ours, logs(&log)).unwrap();
    lp.socket(key).end_and_drain(1000, LONG, LONG);
    write_all(&peer, &[0; 1000]);
    poll_until(&mut lp, |lp| lp.socket(key).bytes_read() == 1000);
    lp.run_nowait().unwrap();
    assert!(lp.socket(key).state().is_ok());
    write_all(&peer, &[0]);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["finish", "destroyed, No"]);
}

/// While the answer is not out, more than the bound is not read, and the peer gets the answer.
#[test]
fn too_many_bytes_wait_for_the_answer() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let log = Log::default();
    let key = lp.adopt(ours, logs(&log)).unwrap();
    let _ = lp.socket(key).write(vec![1; 16 << 20]);
    lp.socket(key).end_and_drain(1000, LONG, LONG);
    write_all(&peer, &[0; 1001]);
    poll_until(&mut lp, |lp| lp.socket(key).bytes_read() == 1001);
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert!(lp.socket(key).state().is_ok());
    let reader = thread::spawn(move || read(&peer));
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), (16 << 20, true));
    assert_eq!(log.lines(), ["finish", "destroyed, No"]);
}

/// It reads although it was paused, and drops what was given back.
#[test]
fn a_paused_connection_is_drained_too() {
    let mut lp = guarded();
    let (mut peer, ours) = pair();
    let log = Log::default();
    let key = lp.adopt(ours, logs(&log)).unwrap();
    lp.socket(key).pause();
    lp.socket(key).unread(b"given back");
    lp.socket(key).end_and_drain(1000, LONG, LONG);
    lp.socket(key).unread(b"again");
    assert_eq!(lp.net_metrics().held, 0);
    peer.write_all(&[0; 500]).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["finish", "both sides ended, No"]);
}

/// Our side had ended before; and it may be called before the connection is made.
#[test]
fn it_may_come_late_or_early() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let log = Log::default();
    let key = lp.adopt(ours, logs(&log)).unwrap();
    lp.socket(key).end();
    poll_until(&mut lp, |_| log.has("finish"));
    lp.socket(key).end_and_drain(0, LONG, LONG);
    write_all(&peer, b"1");
    lp.run().unwrap();
    assert_eq!(log.lines(), ["finish", "destroyed, No"]);

    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let log = Log::default();
    let key = lp.connect(there.local_addr().unwrap(), logs(&log));
    let _ = lp.socket(key).write("last words");
    lp.socket(key).end_and_drain(1000, LONG, LONG);
    let peer = thread::spawn(move || {
        let (s, _) = there.accept().unwrap();
        read(&s)
    });
    lp.run().unwrap();
    assert_eq!(peer.join().unwrap(), (10, true));
    assert_eq!(log.lines(), ["finish", "both sides ended, No"]);
}
