//! Deadlines when the loop is late, when two of them are due, and when they change meanwhile. Where
//! the order of moments matters, the clock is a script.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

/// The callbacks of a silent connection: its idle timeout, which it ignores, and
/// its end by the other deadline.
fn told_after_idle(set: impl FnOnce(&mut SocketCx<'_>)) -> Vec<String> {
    let (mut lp, _) = scripted();
    let (_peer, ours) = pair();
    let log = Log::default();
    let (a, b) = (log.clone(), log.clone());
    let on = On::new().timeout(move |_| a.add("timeout")).close(move |_, c| b.add(c.to_string()));
    let key = lp.adopt(ours, on).unwrap();
    lp.socket(key).set_idle_timeout(10 * MS);
    set(&mut lp.socket(key));
    lp.run().unwrap();
    log.lines()
}

#[test]
fn lifetime_after_idle_was_told() {
    let lines = told_after_idle(|s| s.set_lifetime(50 * MS));
    assert_eq!(lines.len(), 2, "lifetime 50 ms: {lines:?}");
}

#[test]
fn linger_after_idle_was_told() {
    let lines = told_after_idle(|s| {
        s.set_linger_timeout(50 * MS);
        s.end();
    });
    assert_eq!(lines.len(), 2, "linger 50 ms: {lines:?}");
}

#[test]
fn grace_after_idle_was_told() {
    let mut lp = guarded();
    let told = Rc::new(Cell::new(0));
    let t = told.clone();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").idle_timeout(10 * MS), move |conn| {
            let t = t.clone();
            conn.accept(On::new().timeout(move |_| t.set(t.get() + 1)));
        })
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| told.get() == 1);
    lp.server(server).shutdown(50 * MS).unwrap();
    turn_until(&mut lp, |lp| lp.server(server).stats().is_err());
}

#[test]
fn held_up_in_the_ready_pass_bytes_wait() {
    let (mut lp, script) = scripted();
    let (peer, ours) = pair();
    let end = ours.try_clone().unwrap();
    let (mut peer2, ours2) = pair();
    let log = Log::default();
    let (a, b, c) = (log.clone(), log.clone(), log.clone());
    let key = lp
        .adopt(
            ours,
            On::new()
                .data(move |_, _| c.add("data"))
                .timeout(move |_| a.add("timeout"))
                .close(move |_, c| b.add(format!("{c}"))),
        )
        .unwrap();
    // Another connection's callback holds the loop up; meanwhile bytes come for the first.
    let mut held = Some(peer.try_clone().unwrap());
    lp.adopt(
        ours2,
        On::new().data(move |_, _| {
            script.advance(30 * MS);
            if let Some(mut p) = held.take() {
                p.write_all(b"just in time").unwrap();
                arrived(&end);
            }
            script.advance(30 * MS);
        }),
    )
    .unwrap();
    run_for(&mut lp, 5 * MS);
    lp.socket(key).set_idle_timeout(50 * MS);
    peer2.write_all(b"x").unwrap();
    poll_until(&mut lp, |_| !log.lines().is_empty());
    assert_eq!(log.lines(), ["data"]);
}

/// A paused connection with an idle timeout, the log of it, and its peer.
fn paused(lp: &mut Loop, idle: Duration) -> (SocketKey, Log, TcpStream) {
    let (peer, ours) = pair();
    let log = Log::default();
    let l = log.clone();
    let key = lp.adopt(ours, On::new().timeout(move |_| l.add("timeout"))).unwrap();
    lp.socket(key).pause();
    lp.socket(key).set_idle_timeout(idle);
    (key, log, peer)
}

#[test]
fn zero_stops_it_also_when_it_is_due() {
    let (mut lp, script) = scripted();
    let (key, log, _peer) = paused(&mut lp, 5 * MS);
    let l = log.clone();
    // Due in the same batch of timers, after it.
    lp.timer(6 * MS, move |cx, _| {
        cx.socket(key).set_idle_timeout(Duration::ZERO);
        l.add("stopped")
    });
    lp.timer(MS, move |_, _| script.advance(20 * MS));
    run_for(&mut lp, 60 * MS);
    assert_eq!(log.lines(), ["stopped"], "nothing comes after it was stopped");
}

#[test]
fn bytes_written_between_due_and_told() {
    let (mut lp, script) = scripted();
    let (key, log, _peer) = paused(&mut lp, 50 * MS);
    let l = log.clone();
    lp.timer(51 * MS, move |cx, _| {
        let _ = cx.socket(key).write(b"x");
        l.add("wrote")
    });
    lp.timer(40 * MS, move |_, _| script.advance(20 * MS));
    run_for(&mut lp, 80 * MS);
    assert_eq!(log.lines(), ["wrote"]);
}

#[test]
fn close_all_takes_the_deadlines_timer() {
    let mut lp = Loop::new().unwrap();
    let (_p, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    lp.socket(key).set_idle_timeout(20 * MS);
    lp.close_all();
    lp.run().unwrap();
    let (_p2, ours) = pair();
    let log = Log::default();
    let l = log.clone();
    let key = lp.adopt(ours, On::new().close(move |_, c| l.add(format!("{c}")))).unwrap();
    lp.socket(key).set_idle_timeout(40 * MS);
    guard(lp).run().unwrap();
    assert_eq!(log.lines().len(), 1, "an idle timeout of 40 ms");
}

#[test]
fn lifetime_is_never_early() {
    let (mut lp, script) = scripted();
    let lived = Rc::new(RefCell::new(Vec::new()));
    let l = lived.clone();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").lifetime(50 * MS), move |conn| {
            let l = l.clone();
            let (start, s) = (script.now(), script.clone());
            conn.accept(On::new().close(move |_, _| l.borrow_mut().push(s.now() - start)));
            script.advance(30 * MS);
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _c: Vec<_> = (0..4).map(|_| client(at)).collect();
    poll_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 4);
    turn_until(&mut lp, |_| lived.borrow().len() == 4);
    let least = *lived.borrow().iter().min().unwrap();
    assert!(least >= 50 * MS, "lived {lived:?}");
}

#[test]
fn set_lifetime_does_not_outlive_the_grace() {
    struct H;
    impl Handler for H {
        fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
            s.set_lifetime(Duration::from_secs(3));
        }
    }
    let mut lp = guarded();
    let n = Rc::new(Cell::new(0));
    let m = n.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            m.set(1);
            conn.accept(H);
        })
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| n.get() == 1);
    lp.server(server).shutdown(30 * MS).unwrap();
    lp.run().unwrap();
}

#[test]
fn made_in_time_but_the_loop_was_late() {
    let (mut lp, script) = scripted();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    let (mut p2, ours2) = pair();
    let log = Log::default();
    let (a, b) = (log.clone(), log.clone());
    // In the ready pass the user connects, and then works for 60 ms; the connection is there at once.
    lp.adopt(
        ours2,
        On::new().data(move |s, _| {
            let (a, b) = (a.clone(), b.clone());
            s.connect(
                ConnectOptions::new(at).connect_timeout(50 * MS),
                On::new()
                    .connect(move |s| {
                        a.add("connect");
                        s.destroy()
                    })
                    .close(move |_, c| b.add(format!("{c}"))),
            );
            l.accept().unwrap();
            script.advance(60 * MS);
        }),
    )
    .unwrap();
    p2.write_all(b"x").unwrap();
    poll_until(&mut lp, |_| !log.lines().is_empty());
    assert_eq!(log.lines()[0], "connect", "{:?}", log.lines());
}

/// Once, until bytes move again.
#[test]
fn told_once_although_a_side_ends() {
    let (mut lp, _) = scripted();
    let (_peer, ours) = pair();
    let n = Rc::new(Cell::new(0));
    let m = n.clone();
    let key =
        lp.adopt(ours, On::new().timeout(move |_| m.set(m.get() + 1)).close(|_, _| {})).unwrap();
    lp.socket(key).set_idle_timeout(10 * MS);
    turn_until(&mut lp, |_| n.get() == 1);
    lp.socket(key).end();
    run_for(&mut lp, 40 * MS);
    assert_eq!(n.get(), 1, "no byte moved");
}
