//! What a protocol is called for, in which order, and from where.

use std::io::IoSlice;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidegate::kind::{Dispatch, LayerId};
use tidegate::net::{ConnectOptions, Filter, FilterError, Passed, Protocol, Reason};
use tidegate::prelude::*;

use crate::support::*;

/// What was called, and the call that is to panic.
#[derive(Default)]
struct Seen {
    log: Log,
    panics: Option<&'static str>,
    inside: bool,
}

static SEEN: LayerId<Seen> = LayerId::new(Seen::default);

fn note(d: &mut Dispatch<'_>, call: &'static str) {
    let seen = d.layer(&SEEN).0;
    assert!(!seen.inside, "{call} inside of another call");
    seen.log.add(call);
    if seen.panics == Some(call) {
        seen.panics = None;
        std::panic::resume_unwind(Box::new(call));
    }
}

static ALL: Protocol = Protocol::new("all")
    .connect(|d, key, _| {
        note(d, "connect");
        let _ = d.cx().socket(key).write_id("tide", 9);
    })
    .data(|d, _, _, _| note(d, "data"))
    .end(|d, _, _| note(d, "end"))
    .drain(|d, _, _| note(d, "drain"))
    .written(|d, _, _, id, result| {
        assert_eq!(id, 9);
        note(d, if result.is_ok() { "written" } else { "lost" });
    })
    .finish(|d, _, _| note(d, "finish"))
    .timeout(|d, key, _| {
        note(d, "timeout");
        d.cx().socket(key).time_out();
    })
    .shutdown(|d, key, _| {
        note(d, "shutdown");
        d.cx().socket(key).end();
    })
    .close(|d, key, at, close| {
        assert_eq!(at, 5);
        assert!(d.cx().socket(key).state().is_err());
        let call = match close.reason {
            Reason::Ended => "ended",
            Reason::Panicked => "panicked",
            Reason::TimedOut(..) => "timed out",
            Reason::Failed(_) => "failed",
            _ => "destroyed",
        };
        note(d, call);
    })
    .replaced(|cx, _, _| cx.layer(&SEEN).0.log.add("replaced"))
    .describe(|_, _, at| format!("at {at}"));

fn log_of(lp: &mut Loop) -> Log {
    lp.cx().layer(&SEEN).0.log.clone()
}

/// A server that answers with what it gets, for one connection.
fn echo(lp: &mut Loop) -> std::net::SocketAddr {
    let server = lp
        .listen("127.0.0.1:0", |mut c| {
            c.server(c.server_key()).close().unwrap();
            c.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
                s.end();
            }));
        })
        .unwrap();
    lp.server(server).local_addr().unwrap()
}

#[test]
fn the_calls_come_in_the_order_of_a_handler() {
    let mut lp = guarded();
    let at = echo(&mut lp);
    lp.connect_as(at, &ALL, 5).unwrap();
    let log = log_of(&mut lp);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["connect", "written", "data", "end", "finish", "ended"]);
}

/// Timers of the connection, and a filter that was set on it.
#[test]
fn timers_and_filters_are_told() {
    struct Same;
    impl Filter for Same {
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
            out.up.extend_from_slice(wire);
            Ok(())
        }
        fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            out.down.extend_from_slice(user);
            Ok(user.len())
        }
    }
    static TOLD: Protocol = Protocol::new("told")
        .ready(|d, key, _| {
            note(d, "ready");
            d.cx().socket(key).set_timer(7, Duration::from_millis(1));
        })
        .timer(|d, key, at, token| {
            assert_eq!((at, token), (5, 7));
            note(d, "timer");
            d.cx().socket(key).destroy();
        });
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let key = lp.adopt_as(ours, &TOLD, 5).unwrap();
    lp.socket(key).set_filter(Same);
    let log = log_of(&mut lp);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["ready", "timer"]);
}

/// A client's filters are ready before the protocol's `connect`; one that reads
/// itself gets the bytes that came behind them.
#[test]
fn filters_of_a_client_come_first() {
    /// Is ready, and leaves, when it has got a line.
    struct Greeting;
    impl Filter for Greeting {
        fn start(&mut self, _: &mut Passed) -> Result<(), FilterError> {
            Ok(())
        }
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
            let end = wire.iter().position(|b| *b == b'\n').ok_or("no line")?;
            out.up.extend_from_slice(&wire[end + 1..]);
            out.ready();
            out.leave();
            Ok(())
        }
        fn outbound(&mut self, _: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
            Ok(0)
        }
    }
    static PULLS: Protocol =
        Protocol::new("pulls").connect(|d, _, _| note(d, "connect")).readable(|d, key, _| {
            let mut bytes = [0; 64];
            let read = d.cx().socket(key).read_now(&mut bytes);
            let n = read.unwrap_or(0);
            d.layer(&SEEN).0.log.add(String::from_utf8_lossy(&bytes[..n]));
            if n == 0 {
                d.cx().socket(key).destroy();
            }
        });
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |mut c| {
            c.server(c.server_key()).close().unwrap();
            let _ = c.accept(On::new()).end_with("hello\nbytes");
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    lp.connect_as(ConnectOptions::new(at).filter(|| Greeting), &PULLS, 5).unwrap();
    let log = log_of(&mut lp);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["connect", "bytes", ""]);
}

#[test]
fn a_panic_in_any_call_is_the_end() {
    let calls = ["connect", "written", "data", "end", "finish", "ended"];
    for (i, call) in calls.into_iter().enumerate() {
        let mut lp = guarded();
        let at = echo(&mut lp);
        lp.connect_as(at, &ALL, 5).unwrap();
        lp.cx().layer(&SEEN).0.panics = Some(call);
        let log = log_of(&mut lp);
        let panicked = catch_unwind(AssertUnwindSafe(|| lp.run().unwrap()));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&call));
        lp.cx().close_all();
        lp.run().unwrap();
        let lines = log.lines();
        assert_eq!(lines[..=i], calls[..=i], "{lines:?}");
        let ends = ["ended", "panicked"];
        assert_eq!(lines.iter().filter(|l| ends.contains(&l.as_str())).count(), 1, "{lines:?}");
        // A write that was accepted has a completion, whatever happens.
        let written = lines.iter().filter(|l| *l == "written" || *l == "lost").count();
        assert_eq!(written, usize::from(call != "connect"), "{call}: {lines:?}");
    }
}

#[test]
fn a_connection_that_fails_is_told_by_close() {
    let mut lp = guarded();
    let key = lp.connect_as(closed_port(), &ALL, 5).unwrap();
    let _ = lp.socket(key).write_id("lost", 9);
    assert_eq!(log_of(&mut lp).lines(), [""; 0]);
    lp.run().unwrap();
    assert_eq!(log_of(&mut lp).lines(), ["lost", "failed"]);
}

#[test]
fn deadlines_and_shutdown_are_told() {
    let mut lp = guarded();
    let o = ListenOptions::new("127.0.0.1:0").idle_timeout(Duration::from_millis(1));
    let server = lp
        .listen(o, |c| {
            c.accept_as(&ALL, 5).unwrap();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let log = log_of(&mut lp);
    let peer = client(at);
    turn_until(&mut lp, |_| log.has("timed out"));
    assert_eq!(log.lines(), ["timeout", "timed out"]);
    drop(peer);
    log.0.borrow_mut().clear();
    let peer = client(at);
    turn_until(&mut lp, |lp| lp.net_metrics().sockets == 1);
    lp.server(server).shutdown(Duration::from_secs(10)).unwrap();
    poll_until(&mut lp, |_| log.has("finish"));
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines()[..2], ["shutdown", "finish"]);
}

/// The defaults are those of a handler.
#[test]
fn a_protocol_without_calls_ends_as_a_handler_does() {
    static NONE: Protocol = Protocol::new("none");
    let mut lp = guarded();
    let (peer, ours) = pair();
    lp.adopt_as(ours, &NONE, 0).unwrap();
    write_all(&peer, b"dropped");
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer), b"");
    let (_peer, ours) = pair();
    let key = lp.adopt_as(ours, &NONE, 0).unwrap();
    lp.socket(key).set_idle_timeout(Duration::from_millis(1));
    lp.run().unwrap();
    assert_eq!(lp.net_metrics().timed_out, 1);
}

/// Law 1: each of these changes state and queues, and calls nothing but `replaced`.
#[test]
fn no_call_of_the_interface_calls_back() {
    let mut lp = guarded();
    let at = echo(&mut lp);
    let (peer, ours) = pair();
    write_all(&peer, b"tide");
    arrived(&ours);
    let log = log_of(&mut lp);
    let calls = move |cx: &mut Cx<'_>, ours: std::net::TcpStream| {
        cx.layer(&SEEN).0.inside = true;
        let made = cx.connect_as(at, &ALL, 5).unwrap();
        let key = cx.adopt_as(ours, &ALL, 5).unwrap();
        for key in [made, key] {
            let mut s = cx.socket(key);
            let _ = s.write_id("a", 9);
            let _ = s.write_gathered(&["b".into(), vec![1; 2000].into()]);
            let _ = s.write_now(&[IoSlice::new(b"c")]);
            s.unread(b"d");
            s.pause();
            s.resume();
            assert!(s.set_protocol(&ALL, 5));
            s.set_handler(On::new());
            assert!(s.set_protocol(&ALL, 5));
            s.end_and_drain(10, Duration::from_secs(1), Duration::from_secs(1));
            s.destroy();
        }
        cx.layer(&SEEN).0.inside = false;
    };
    calls(&mut lp.cx(), ours);
    assert_eq!(log.lines(), ["replaced"; 4]);
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[4..], ["lost", "destroyed", "written", "destroyed"], "{lines:?}");
}

#[test]
fn why_alive_names_the_protocol() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let key = lp.adopt_as(ours, &ALL, 5).unwrap();
    let texts: Vec<_> = lp.why_alive().iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|t| t.contains("all: at 5")), "{texts:?}");
    lp.socket(key).destroy();
    lp.run().unwrap();
}

/// `wake` calls the protocol once in the pending phase, and nobody if a handler took its place or the
/// connection is over.
#[test]
fn woken_once_for_all_calls_before() {
    static WAKES: Protocol = Protocol::new("wakes").woken(|d, _, _| {
        assert_eq!(d.cx().phase(), tidegate::Phase::Pending);
        note(d, "woken");
    });
    let mut lp = guarded();
    let log = log_of(&mut lp);
    let kept = std::rc::Rc::new(std::cell::Cell::new(None));
    let k = kept.clone();
    let accept = move |conn: Incoming<'_>| k.set(conn.accept_as(&WAKES, 0).ok().map(|s| s.key()));
    let server = lp.listen("127.0.0.1:0", accept).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _c = client(at);
    turn_until(&mut lp, |_| kept.get().is_some());
    let key = kept.get().unwrap();
    for _ in 0..3 {
        lp.socket(key).wake();
    }
    assert!(log.lines().is_empty(), "not inside of the call");
    turn_until(&mut lp, |_| log.lines() == ["woken"]);
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(log.lines(), ["woken"]);
    lp.socket(key).wake();
    lp.socket(key).set_handler(On::new());
    lp.run_nowait().unwrap();
    lp.socket(key).wake();
    lp.socket(key).destroy();
    lp.socket(key).wake();
    turn_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
    assert_eq!(log.lines(), ["woken"]);
}
