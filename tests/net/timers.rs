//! Timers of a connection: told to its handler, moved, taken back, and gone with it.

use std::time::Duration;

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

fn on(log: &Log) -> OnWith<Log> {
    On::with(log.clone())
        .timer(|log, s, token| log.add(format!("{token} after {:?}", s.now())))
        .close(|log, _, _| log.add("close"))
}

#[test]
fn in_the_order_of_their_deadlines() {
    let (mut lp, script) = scripted();
    let log = Log::default();
    let (_peer, ours) = pair();
    let key = lp.adopt(ours, on(&log)).unwrap();
    for (token, after) in [(3, 30), (1, 10), (2, 20), (9, 15), (1, 12)] {
        lp.socket(key).set_timer(token, MS * after);
    }
    lp.socket(key).clear_timer(9);
    lp.socket(key).clear_timer(77);
    for _ in 0..3 {
        lp.run_once().unwrap();
    }
    turn_until(&mut lp, |_| log.lines().len() == 3);
    let tokens: Vec<_> = log.lines().iter().map(|l| l[..1].to_owned()).collect();
    assert_eq!(tokens, ["1", "2", "3"]);
    // All at once: the loop was late.
    for (token, after) in [(6, 60), (5, 50), (4, 40)] {
        lp.socket(key).set_timer(token, MS * after);
    }
    script.advance(MS * 100);
    turn_until(&mut lp, |_| log.lines().len() == 6);
    let tokens: Vec<_> = log.lines()[3..].iter().map(|l| l[..1].to_owned()).collect();
    assert_eq!(tokens, ["4", "5", "6"]);
}

/// Set again in its own callback it repeats; cleared after it came up it does not come.
#[test]
fn set_and_cleared_in_callbacks() {
    let mut lp = guarded();
    let log = Log::default();
    let (_peer, ours) = pair();
    let on = On::with(log.clone()).timer(|log, s, token| {
        log.add(token.to_string());
        match log.lines().len() {
            1 => {
                // Both are due.
                s.set_timer(1, Duration::ZERO);
                s.clear_timer(2);
            }
            2 => s.set_timer(1, MS),
            _ => s.destroy(),
        }
    });
    let key = lp.adopt(ours, on).unwrap();
    lp.socket(key).set_timer(1, Duration::ZERO);
    lp.socket(key).set_timer(2, Duration::ZERO);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["1", "1", "1"]);
}

/// They are no reason to run, and go with the connection: also one that came up before.
#[test]
fn gone_at_close() {
    let mut lp = guarded();
    let log = Log::default();
    let (_peer, ours) = pair();
    let key = lp.adopt(ours, on(&log)).unwrap();
    let before = handles(&lp);
    for token in 0..100 {
        lp.socket(key).set_timer(token, DEADLINE);
    }
    lp.socket(key).set_timer(100, Duration::ZERO);
    lp.run_nowait().unwrap();
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert!(log.lines().len() <= 2 && log.has("close"), "{:?}", log.lines());
    assert_eq!(handles(&lp), before - 1);
    lp.socket(key).set_timer(1, Duration::ZERO);
    assert_eq!(handles(&lp), before - 1, "the connection is over");
}

/// While it is connecting it waits; then it comes.
#[test]
fn not_before_the_connection_is_made() {
    let mut lp = guarded();
    let log = Log::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let l = log.clone();
    let on = On::new().connect(move |_| l.add("connect"));
    let l = log.clone();
    let on = on.timer(move |s, token| {
        l.add(token.to_string());
        s.destroy();
    });
    let key = lp.connect(listener.local_addr().unwrap(), on);
    lp.socket(key).set_timer(7, Duration::ZERO);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["connect", "7"]);

    let key = lp.connect(closed_port(), On::new().close(|_, _| {}));
    lp.socket(key).set_timer(7, DEADLINE);
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

/// The deadlines of the options and timers share one entry: neither loses the other's, whichever
/// comes first.
#[test]
fn beside_an_idle_timeout() {
    for (idle, timer, order) in
        [(10, 25, ["timeout", "7", "close"]), (25, 10, ["7", "timeout", "close"])]
    {
        let (mut lp, _) = scripted();
        let log = Log::default();
        let (_peer, ours) = pair();
        let on = On::with(log.clone())
            .timer(|log, s, token| {
                log.add(token.to_string());
                if log.has("timeout") {
                    s.destroy();
                }
            })
            .timeout(|log, s| {
                log.add("timeout");
                if log.has("7") {
                    s.destroy();
                }
            })
            .close(|log, _, _| log.add("close"));
        let key = lp.adopt(ours, on).unwrap();
        lp.socket(key).set_timer(7, MS * timer);
        lp.socket(key).set_idle_timeout(MS * idle);
        lp.run().unwrap();
        assert_eq!(log.lines(), order);
    }
}

/// A timer that moves adds nothing to the loop, and is never early.
#[test]
fn moved_again_and_again() {
    const ROUNDS: usize = 10_000;
    let (mut lp, script) = scripted();
    let log = Log::default();
    let (_peer, ours) = pair();
    let key = lp.adopt(ours, on(&log)).unwrap();
    lp.socket(key).set_timer(2, MS * 50);
    for _ in 0..ROUNDS {
        lp.socket(key).set_timer(1, MS * 20);
        lp.socket(key).set_timer(2, MS * 50);
        script.advance(MS / 100);
    }
    assert_eq!(lp.net_metrics().deadlines, 2, "the first of each token");
    let from = script.now();
    lp.socket(key).set_timer(1, MS * 20);
    turn_until(&mut lp, |_| !log.lines().is_empty());
    assert!(script.now() >= from + MS * 20, "{:?} after {from:?}", script.now());
    assert_eq!(log.lines().len(), 1);
    lp.socket(key).destroy();
    lp.run().unwrap();
}
