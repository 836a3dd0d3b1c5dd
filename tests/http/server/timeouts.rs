//! How long a client may take, and an answer, by a clock that the test moves.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{ExchangeKey, Http, HttpOptions, OnExchange};
use tidegate::prelude::*;

use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Answers at once; `/later` never.
fn server(lp: &mut Loop) -> SocketAddr {
    let f = |head: &Head<'_>, x: Exchange<'_>| match head.path() {
        "/later" => drop(x.later()),
        "/body" => x.collect(1 << 20, |x, body| {
            let _ = x.reply(200, body);
        }),
        "/begun" => drop(x.start(200).map(|mut x| x.handle(tidegate::http::OnExchange::new()))),
        _ => x.reply(200, "hello"),
    };
    serve(lp, HttpOptions::new(), Plain(f)).1
}

#[test]
fn n45_no_request_comes() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let at = server(&mut lp);
    let mut c = Peer::new(at);
    c.settle(&mut lp);
    script.advance(secs(59));
    c.settle(&mut lp);
    assert_eq!(lp.http_metrics().timed_out, 0, "not early");
    script.advance(secs(2));
    let a = c.answer(&mut lp);
    assert_eq!((a.status, a.get("connection")), (408, Some("close")));
    assert!(c.is_over(&mut lp));
}

#[test]
fn n45_a_head_that_stops() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let at = server(&mut lp);
    // The first request: from accept on. A later one: from its first byte on.
    for before in [0, 1] {
        let mut c = Peer::new(at);
        for _ in 0..before {
            c.get(&mut lp, "/");
            script.advance(secs(4));
        }
        c.send(&mut lp, "GET / HTTP/1.1\r\n");
        c.settle(&mut lp);
        for _ in 0..5 {
            script.advance(secs(11));
            c.send(&mut lp, "A: b\r\n");
            c.settle(&mut lp);
        }
        assert_eq!(
            lp.http_metrics().timed_out,
            before,
            "bytes do not move it, and it is not early"
        );
        // The script's turns take 11 s, and a deadline may be late by a turn.
        script.advance(secs(17));
        assert_eq!(c.answer(&mut lp).status, 408);
        assert!(c.is_over(&mut lp));
    }
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn n45_a_body_that_stops() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let at = server(&mut lp);
    for pipelined in [false, true] {
        let mut c = Peer::new(at);
        if pipelined {
            c.send(&mut lp, GET);
        }
        c.send(&mut lp, &post("/body", b"0123456789")[..60]);
        if pipelined {
            assert_eq!(c.answer(&mut lp).status, 200);
        }
        c.settle(&mut lp);
        script.advance(secs(299));
        c.settle(&mut lp);
        assert_eq!(lp.http_metrics().timed_out, u64::from(pipelined), "not early");
        script.advance(secs(2));
        assert_eq!(c.answer(&mut lp).status, 408);
        assert!(c.is_over(&mut lp));
    }
    // An answer that has begun cannot be 408.
    let mut c = Peer::new(at);
    c.send(&mut lp, &post("/begun", b"0123456789")[..60]);
    c.settle(&mut lp);
    script.advance(secs(301));
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(lp.http_metrics().in_flight, 0);
    let m = lp.http_metrics();
    assert_eq!((m.timed_out, m.refused), (3, 0), "it is counted as late all the same");
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: bytes come later than the script of the clock")]
fn n46_empty_lines_keep_nothing_alive() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let at = server(&mut lp);
    let mut c = Peer::new(at);
    c.get(&mut lp, "/");
    for _ in 0..5 {
        script.advance(secs(1));
        c.send(&mut lp, "\r\n");
        c.settle(&mut lp);
    }
    script.advance(secs(3));
    assert!(c.is_over(&mut lp), "silently");
    assert_eq!(lp.http_metrics().idle_closed, 1);
}

#[test]
fn n47_an_idle_connection_is_closed_silently() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let at = server(&mut lp);
    let mut c = Peer::new(at);
    for _ in 0..5 {
        c.get(&mut lp, "/");
        script.advance(Duration::from_millis(5900));
        c.settle(&mut lp);
    }
    assert_eq!(lp.http_metrics().idle_closed, 0);
    script.advance(Duration::from_millis(200));
    assert!(c.is_over(&mut lp));
    assert_eq!(lp.http_metrics().idle_closed, 1);
}

#[test]
fn n48_a_slow_handler_is_not_cut_off() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let k = kept.clone();
    let (_, at) = serve(
        &mut lp,
        HttpOptions::new(),
        Plain(move |_: &Head<'_>, x: Exchange<'_>| {
            k.set(Some(x.later().key()));
        }),
    );
    let mut c = Peer::new(at);
    for _ in 0..2 {
        c.send(&mut lp, GET);
        poll_until(&mut lp, |_| kept.get().is_some());
        script.advance(secs(1000));
        c.settle(&mut lp);
        lp.exchange(kept.take().unwrap()).reply(200, "late").unwrap();
        assert_eq!(c.answer(&mut lp).text(), "late");
    }
    script.advance(secs(7));
    assert!(c.is_over(&mut lp));
}

/// A client that takes nothing of its answer is reset; one that takes a little is not.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_client_that_does_not_read() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let (_, at) = serve(
        &mut lp,
        HttpOptions::new(),
        Plain(|_: &Head<'_>, x: Exchange<'_>| {
            x.reply(200, vec![0; 60 << 20]);
        }),
    );
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    poll_until(&mut lp, |lp| lp.net_metrics().queued > 0);
    for _ in 0..3 {
        script.advance(secs(50));
        for _ in 0..150 {
            c.turn(&mut lp);
        }
    }
    assert!(lp.net_metrics().queued > 0, "it is being read");
    assert_eq!(lp.net_metrics().sockets, 1);
    // The script's turns took 50 s, and a deadline may be late by a turn.
    for _ in 0..5 {
        script.advance(secs(61));
        lp.run_nowait().unwrap();
    }
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
}

/// A handler that goes on writing to a client that reads nothing does not keep it alive.
#[test]
fn more_writes_do_not_move_the_clock() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let k = kept.clone();
    let f = move |_: &Head<'_>, x: Exchange<'_>| {
        let mut x = x.start(200).unwrap();
        let _ = x.write(vec![0; 20 << 20]);
        k.set(Some(x.key()));
    };
    let (_, at) = serve(&mut lp, HttpOptions::new(), Plain(f));
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    poll_until(&mut lp, |_| kept.get().is_some());
    for _ in 0..16 {
        let _ = lp.exchange(kept.get().unwrap()).write("a little more");
        script.advance(secs(10));
        for _ in 0..20 {
            lp.run_nowait().unwrap();
        }
    }
    assert_eq!(lp.net_metrics().sockets, 0, "after twice 60 s at the latest");
    assert_eq!(lp.http_metrics().broken, 1);
}

/// A server whose exchanges have two seconds, and the key of the last one.
fn with_deadlines(lp: &mut Loop, log: &Log) -> (SocketAddr, Rc<Cell<Option<ExchangeKey>>>) {
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let (k, log) = (kept.clone(), log.clone());
    let at = listen(lp, move |head, x| {
        let mut x = match head.path() {
            "/begun" => x.start(200).unwrap(),
            "/own" => {
                let log = log.clone();
                x.handle(OnExchange::new().timeout(move |x| {
                    log.add("timeout");
                    x.reply(504, "nobody answered").unwrap();
                }))
            }
            "/closures" => x.handle(OnExchange::new()),
            _ => x.later(),
        };
        x.set_deadline(secs(2));
        k.set(Some(x.key()));
    });
    (at, kept)
}

#[test]
fn without_an_answer_in_time_it_is_503() {
    let (mut lp, script) = scripted();
    let log = Log::default();
    let (at, kept) = with_deadlines(&mut lp, &log);
    for (path, status) in [("/", 503), ("/closures", 503), ("/own", 504)] {
        let mut c = Peer::new(at);
        c.send(&mut lp, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        poll_until(&mut lp, |_| kept.take().is_some());
        script.advance(Duration::from_millis(1999));
        c.settle(&mut lp);
        assert_eq!(lp.http_metrics().in_flight, 1, "not early");
        script.advance(Duration::from_millis(10));
        let a = c.answer(&mut lp);
        assert_eq!((a.status, lp.http_metrics().in_flight), (status, 0));
        assert_eq!(a.get("connection"), (status == 503).then_some("close"));
    }
    assert_eq!(log.lines(), ["timeout"]);
}

/// A part of an answer cannot become another one.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_deadline_resets_an_answer_that_has_begun() {
    let (mut lp, script) = scripted();
    let (at, kept) = with_deadlines(&mut lp, &Log::default());
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |_| kept.get().is_some());
    script.advance(secs(3));
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(lp.http_metrics().broken, 1);
}

/// It moves, it can be turned off, and it ends with its exchange.
#[test]
fn a_deadline_belongs_to_one_exchange() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let (at, kept) = with_deadlines(&mut lp, &Log::default());
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    poll_until(&mut lp, |_| kept.get().is_some());
    let first = kept.take().unwrap();
    for _ in 0..3 {
        script.advance(secs(1));
        c.settle(&mut lp);
        lp.exchange(first).set_deadline(secs(2));
    }
    lp.exchange(first).set_deadline(Duration::ZERO);
    script.advance(secs(1000));
    c.settle(&mut lp);
    lp.exchange(first).set_deadline(secs(1));
    lp.exchange(first).reply(200, "late").unwrap();
    assert_eq!(c.answer(&mut lp).text(), "late");
    lp.exchange(first).set_deadline(secs(1));
    c.send(&mut lp, GET);
    poll_until(&mut lp, |_| kept.get().is_some());
    script.advance(Duration::from_millis(1500));
    c.settle(&mut lp);
    assert_eq!(lp.http_metrics().in_flight, 1, "that of the first is gone");
    script.advance(secs(1));
    assert_eq!(c.answer(&mut lp).status, 503);
}

/// The loop is held up while a request comes to an idle connection, until its time has passed: the
/// request wins, whatever the poller said of it.
#[test]
fn a_request_that_came_in_time_is_answered_by_a_late_loop() {
    for part in [GET, "GET / HT"] {
        let (mut lp, script) = Loop::scripted().unwrap();
        let at = server(&mut lp);
        let mut idle = Peer::new(at);
        idle.get(&mut lp, "/");
        // Another connection's callback holds the loop up.
        let (other, ours) = pair();
        let mut late = Some(idle.s.try_clone().unwrap());
        let clock = script.clone();
        let on = On::new().data(move |_, _| {
            clock.advance(secs(3));
            if let Some(mut late) = late.take() {
                std::io::Write::write_all(&mut late, part.as_bytes()).unwrap();
            }
            clock.advance(secs(60));
        });
        lp.adopt(ours, on).unwrap();
        write_all(&other, b"x");
        idle.settle(&mut lp);
        assert_eq!(lp.http_metrics().idle_closed, 0);
        if part != GET {
            idle.send(&mut lp, &GET[part.len()..]);
        }
        assert_eq!(idle.answer(&mut lp).status, 200);
    }
}

/// A handler that holds the loop up: the answer's time is seen by the metrics and the observer,
/// though all of it is in one turn.
#[test]
fn the_time_of_an_answer_within_a_turn() {
    use tidegate::http::HttpEvent;
    use tidegate::observe::{Event, Moment, Observer};
    struct Times(Rc<std::cell::RefCell<Vec<Duration>>>);
    impl Observer for Times {
        fn event(&mut self, _: &Moment, event: &Event<'_>) {
            let Event::Layer(e) = event else { return };
            if let Some(HttpEvent::Response { elapsed, .. }) = e.as_any().downcast_ref() {
                self.0.borrow_mut().push(*elapsed);
            }
        }
    }
    for is_observed in [false, true] {
        let (mut lp, script) = Loop::scripted().unwrap();
        let times = Rc::default();
        if is_observed {
            lp.observe(Times(Rc::clone(&times)));
        }
        let clock = script.clone();
        let at = listen(&mut lp, move |_, x| {
            clock.advance(Duration::from_millis(50));
            x.reply(200, "slow");
        });
        let mut c = Peer::new(at);
        c.send(&mut lp, [GET, GET].concat());
        assert_eq!((c.answer(&mut lp).status, c.answer(&mut lp).status), (200, 200));
        let durations = lp.http_metrics().durations;
        assert_eq!(durations.count(), 2);
        assert!(durations.quantile(0.5) >= Duration::from_millis(50), "{durations:?}");
        let expected = [50, 100].map(Duration::from_millis);
        assert_eq!(*times.borrow(), if is_observed { &expected[..] } else { &[] });
    }
}
