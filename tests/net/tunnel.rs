//! Tunnels: a client is answered when its target is connected or is not, and `done` comes once,
//! whatever ends first.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tidegate::net::{Lines, Reason};
use tidegate::prelude::*;
use tidegate::stream::PipeError;

use crate::support::*;

fn over(log: &Log) -> impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + use<> {
    let log = log.clone();
    move |_, result| match result {
        Ok(()) => log.add("done"),
        Err(e) => log.add(format!("done: {e}")),
    }
}

fn say(log: &Log) -> impl FnOnce(&mut SocketCx<'_>, Result<SocketKey, &Reason>) + use<> {
    let log = log.clone();
    move |client, reached| {
        let _ = match reached {
            Ok(_) => {
                log.add("reached");
                client.write("reached\n")
            }
            Err(reason) => {
                log.add("not reached");
                client.end_with(format!("{reason}\n"))
            }
        };
    }
}

/// A client, and its connection in the loop, which tunnels to this target at once.
fn tunnel(lp: &mut Loop, to: impl Into<ConnectOptions>, log: &Log) -> (TcpStream, [SocketKey; 2]) {
    let (peer, ours) = pair();
    let replaced = On::new().close(|_, _| panic!("the handler is replaced"));
    let client = lp.adopt(ours, replaced).unwrap();
    let target = lp.socket(client).tunnel(to, say(log), over(log));
    (peer, [client, target])
}

/// Says all that it got once more when it has ended.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        if peer.read_to_end(&mut all).is_ok() {
            let _ = peer.write_all(&all);
        }
    });
    at
}

/// Runs the loop while the client reads; what it got, up to its end or a reset.
fn run(lp: &mut Loop, mut peer: TcpStream) -> String {
    let reads = std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = peer.read_to_end(&mut all);
        String::from_utf8(all).unwrap()
    });
    lp.run().unwrap();
    reads.join().unwrap()
}

/// A target whose queue is full, so that connecting takes for ever.
macro_rules! silent_or_skip {
    () => {
        match silent() {
            Some((listener, fill)) => (listener.local_addr().unwrap().port(), (listener, fill)),
            None => return eprintln!("skipped: full queues answer here"),
        }
    };
}

#[test]
fn what_came_before_the_target_is_for_the_target() {
    let mut lp = guarded();
    let log = Log::default();
    let target = echo();
    let server = lp
        .listen("127.0.0.1:0", {
            let log = log.clone();
            move |mut conn| {
                conn.server(conn.server_key()).close().unwrap();
                let log = log.clone();
                conn.accept(On::new().framed(Lines::new(20), move |s, line| {
                    assert_eq!(line, b"go");
                    s.tunnel(target, say(&log), over(&log));
                    Flow::Closed
                }));
            }
        })
        .unwrap();
    let peer = client(lp.server(server).local_addr().unwrap());
    write_all(&peer, b"go\ngo\nearly");
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer), b"reached\ngo\nearly");
    assert_eq!(log.lines(), ["reached", "done"]);
    assert_eq!(handles(&lp), 0);
}

#[test]
fn much_in_both_directions() {
    let mut lp = guarded();
    let log = Log::default();
    let (peer, _) = tunnel(&mut lp, echo(), &log);
    let asks = std::thread::spawn(move || {
        write_all(&peer, &[7; 8 << 20]);
        peer.shutdown(Shutdown::Write).unwrap();
        read_to_end(&peer).len()
    });
    lp.run().unwrap();
    assert_eq!(asks.join().unwrap(), (8 << 20) + 8);
    assert_eq!(log.lines(), ["reached", "done"]);
}

#[test]
fn a_target_that_refuses() {
    let mut lp = guarded();
    let log = Log::default();
    let (peer, _) = tunnel(&mut lp, closed_port(), &log);
    write_all(&peer, b"is anybody there?");
    let answer = run(&mut lp, peer);
    assert!(answer.contains("connect to ") && answer.contains("ECONNREFUSED"), "{answer}");
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "not reached");
    assert!(lines[1].starts_with("done: the pipe's sink failed: connect to "), "{lines:?}");
    assert_eq!(lp.metrics().unhandled_errors, 0);
    assert_eq!(handles(&lp), 0);
}

#[test]
fn a_target_that_is_no_address() {
    let mut lp = guarded();
    let log = Log::default();
    let (peer, _) = tunnel(&mut lp, "nonsense", &log);
    assert!(run(&mut lp, peer).contains("is not a valid address"));
    assert_eq!(log.lines().len(), 2);
}

/// The answer may let the client go on: it sets a handler.
#[test]
fn another_attempt() {
    let mut lp = guarded();
    let log = Log::default();
    let (peer, ours) = pair();
    let client = lp.adopt(ours, On::new()).unwrap();
    let (good, l) = (echo(), log.clone());
    let again = move |s: &mut SocketCx<'_>, reached: Result<SocketKey, &Reason>| {
        assert!(reached.is_err());
        s.set_handler(On::new().framed(Lines::new(20), move |s, _| {
            s.tunnel(good, say(&l), over(&l));
            Flow::Closed
        }));
    };
    lp.socket(client).tunnel(closed_port(), again, over(&log));
    write_all(&peer, b"again\ntide");
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer), b"reached\ntide");
    assert_eq!(log.lines()[1..], ["reached", "done"]);
}

#[test]
fn a_client_that_resets_meanwhile() {
    let (port, _full) = silent_or_skip!();
    let mut lp = guarded();
    let log = Log::default();
    let (peer, [_, target]) = tunnel(&mut lp, ("127.0.0.1", port), &log);
    lp.run_nowait().unwrap();
    assert!(lp.socket(target).is_connecting());
    reset(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["done: the pipe's source was destroyed"]);
    assert_eq!(handles(&lp), 0);
}

/// The answer could not be delivered any more.
#[test]
fn the_server_shuts_down_meanwhile() {
    let (port, _full) = silent_or_skip!();
    let mut lp = guarded();
    let log = Log::default();
    let asked = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            asked.add("asked");
            conn.accept(On::new()).tunnel(("127.0.0.1", port), say(&asked), over(&asked));
        })
        .unwrap();
    let peer = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| log.has("asked"));
    lp.server(server).shutdown(DEADLINE).unwrap();
    assert_eq!(run(&mut lp, peer), "");
    assert_eq!(log.lines(), ["asked", "done: the pipe's source was destroyed"]);
    assert_eq!(handles(&lp), 0);
}

#[test]
fn a_client_whose_time_is_over() {
    let (port, _full) = silent_or_skip!();
    let mut lp = guarded();
    let log = Log::default();
    let (_peer, [client, _]) = tunnel(&mut lp, ("127.0.0.1", port), &log);
    lp.socket(client).set_idle_timeout(Duration::from_millis(5));
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("source failed") && lines[0].contains("idle timeout"), "{lines:?}");
    assert_eq!(handles(&lp), 0);
}

#[test]
fn a_target_that_takes_too_long_or_is_destroyed() {
    let (port, _full) = silent_or_skip!();
    let mut lp = guarded();
    let log = Log::default();
    let slow = ConnectOptions::new(("127.0.0.1", port));
    let (late, _) = tunnel(&mut lp, slow.clone().connect_timeout(Duration::from_millis(5)), &log);
    assert!(run(&mut lp, late).contains("timed out"));
    let (peer, [_, target]) = tunnel(&mut lp, slow, &log);
    lp.run_nowait().unwrap();
    lp.socket(target).destroy();
    assert_eq!(run(&mut lp, peer), "destroyed\n");
    assert_eq!(log.lines()[2..], ["not reached", "done: the pipe's sink was destroyed"]);
    assert_eq!(handles(&lp), 0);
}

/// What the answer does to the client does not leave the target behind.
#[test]
fn an_answer_that_ends_it_all() {
    let acts: [fn(&mut SocketCx<'_>, SocketKey); 4] = [
        |client, _| client.destroy(),
        |client, _| client.end(),
        |client, target| client.socket(target).destroy(),
        |client, target| client.socket(target).reset(),
    ];
    for (n, act) in acts.into_iter().enumerate() {
        let mut lp = guarded();
        let log = Log::default();
        let (peer, ours) = pair();
        let client = lp.adopt(ours, On::new()).unwrap();
        let act = move |client: &mut SocketCx<'_>, reached: Result<SocketKey, &Reason>| {
            act(client, *reached.as_ref().unwrap());
        };
        lp.socket(client).tunnel(echo(), act, over(&log));
        run(&mut lp, peer);
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{n}: {lines:?}");
        assert!(lines[0].starts_with("done: the pipe's "), "{n}: {lines:?}");
        assert_eq!(handles(&lp), 0, "{n}");
    }
}

#[test]
fn a_client_that_is_over_already() {
    let mut lp = guarded();
    let log = Log::default();
    let (_peer, ours) = pair();
    let client = lp.adopt(ours, On::new()).unwrap();
    lp.socket(client).destroy();
    lp.socket(client).tunnel(echo(), say(&log), over(&log));
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines.last().unwrap(), "done: the pipe's source was destroyed", "{lines:?}");
    assert_eq!(handles(&lp), 0);
}

/// Without room for the target, or for the pipes behind the answer.
#[test]
fn a_full_table() {
    for room in 0..3 {
        let mut lp = guarded();
        let log = Log::default();
        let (peer, ours) = pair();
        let client = lp.adopt(ours, On::new()).unwrap();
        lp.limit_rows(room);
        lp.socket(client).tunnel(echo(), say(&log), over(&log));
        run(&mut lp, peer);
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{room}: {lines:?}");
        assert!(lines[1].ends_with("its limit: close some first"), "{room}: {lines:?}");
        assert_eq!(handles(&lp), 0, "{room}");
    }
}

/// A panic of one of the two leaves `run`, and nothing else stays behind. `done` comes once all the
/// same.
#[test]
fn answers_and_dones_that_panic() {
    for (to, in_answer) in
        [(echo(), true), (closed_port(), true), (echo(), false), (closed_port(), false)]
    {
        let mut lp = guarded();
        let (peer, ours) = pair();
        let client = lp.adopt(ours, On::new()).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let answer = move |s: &mut SocketCx<'_>, _: Result<SocketKey, &Reason>| {
            assert!(!in_answer, "on purpose");
            s.end();
        };
        let ends = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = ends.clone();
        let done = move |_: &mut Cx<'_>, _: Result<(), PipeError>| {
            counted.set(counted.get() + 1);
            assert!(in_answer, "on purpose");
        };
        lp.socket(client).tunnel(to, answer, done);
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
        assert!(run.is_err());
        lp.run().unwrap();
        drop(peer);
        assert_eq!((ends.get(), handles(&lp)), (1, 0), "{to} {in_answer}");
    }
}

/// `answer` and `done` of a loop that is dropped are dropped, and not called.
#[test]
fn nothing_is_left_of_a_dropped_loop() {
    let mut lp = guarded();
    let held = std::rc::Rc::new(());
    let (_peer, ours) = pair();
    let client = lp.adopt(ours, On::new()).unwrap();
    let (a, d) = (held.clone(), held.clone());
    lp.socket(client).tunnel(
        echo(),
        move |_, _| panic!("called with {a:?}"),
        move |_, _| panic!("called with {d:?}"),
    );
    drop(lp);
    assert_eq!(std::rc::Rc::strong_count(&held), 1);
}
