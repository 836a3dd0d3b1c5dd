//! How connections end: early answers, limits, shutting down.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tidegate::http::{ExchangeKey, Http, HttpOptions, Response};
use tidegate::prelude::*;

use super::*;

/// The client sends 10 MiB before it reads: the early answer reaches it all the same.
#[test]
fn n50_an_early_answer_arrives() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| x.reply(413, "too much\n"));
    let peer = client(at);
    let sender = thread::spawn(move || {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n";
        write_all(&peer, head.as_bytes());
        // More than is dropped: from then on the kernel takes it, or the connection is closed.
        let part = vec![0; 1 << 16];
        let mut sent = 0;
        while sent < 900 * 1024 {
            write_all(&peer, &part);
            sent += part.len();
        }
        let mut answer = Vec::new();
        let end = (&peer).read_to_end(&mut answer);
        (String::from_utf8(answer).unwrap(), end.is_ok())
    });
    poll_until(&mut lp, |_| sender.is_finished());
    let (answer, in_order) = sender.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too much\n"), "{answer:?}");
    assert!(in_order);
}

#[test]
fn n51_lingering_has_bounds() {
    let (mut lp, script) = scripted();
    let o = HttpOptions::new().linger(1000, Duration::from_secs(2), Duration::from_secs(5));
    let (_, at) = serve(
        &mut lp,
        o,
        Plain(|_: &Head<'_>, x: Exchange<'_>| {
            let _ = x.respond(Response::new(200).close(), "");
        }),
    );
    // Silence.
    let mut c = Peer::new(at);
    assert_eq!(c.get(&mut lp, "/").status, 200);
    c.settle(&mut lp);
    assert_eq!(lp.net_metrics().sockets, 1);
    script.advance(Duration::from_secs(3));
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
    // Bytes.
    let mut c = Peer::new(at);
    assert_eq!(c.get(&mut lp, "/").status, 200);
    c.send(&mut lp, vec![0; 1000]);
    c.settle(&mut lp);
    assert_eq!(lp.net_metrics().sockets, 1);
    c.send(&mut lp, [0]);
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
    // All in all.
    let mut c = Peer::new(at);
    assert_eq!(c.get(&mut lp, "/").status, 200);
    for _ in 0..4 {
        script.advance(Duration::from_millis(1300));
        c.send(&mut lp, [0]);
        for _ in 0..20 {
            lp.run_nowait().unwrap();
        }
    }
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
}

#[test]
fn n52_so_many_requests_of_one_connection() {
    let mut lp = guarded();
    let o = HttpOptions::new().max_requests(3);
    let (_, at) = serve(&mut lp, o, Plain(|_: &Head<'_>, x: Exchange<'_>| x.reply(200, "x")));
    let mut c = Peer::new(at);
    c.send(&mut lp, GET.repeat(5));
    for expected in [None, None, Some("close")] {
        assert_eq!(c.answer(&mut lp).get("connection"), expected);
    }
    assert!(c.is_over(&mut lp));
    assert_eq!(lp.http_metrics().requests, 3, "the others were not looked at");
}

#[test]
fn n49_shutting_down() {
    struct Serves(Rc<Cell<Option<ExchangeKey>>>, Log);
    impl tidegate::http::HttpHandler for Serves {
        fn on_request(&mut self, head: &Head<'_>, x: Exchange<'_>) {
            match head.path() {
                "/later" => self.0.set(Some(x.later().key())),
                _ => x.reply(200, "hello"),
            }
        }
        fn on_close(&mut self, _: &mut ServerCx<'_>) {
            self.1.add("the server is closed");
        }
    }
    let (mut lp, script) = scripted();
    let (kept, log): (Rc<Cell<_>>, _) = (Rc::default(), Log::default());
    let (server, at) = serve(&mut lp, HttpOptions::new(), Serves(kept.clone(), log.clone()));
    let (mut fresh, mut idle, mut begun, mut in_flight) =
        (Peer::new(at), Peer::new(at), Peer::new(at), Peer::new(at));
    idle.get(&mut lp, "/");
    begun.send(&mut lp, "GET / HT");
    in_flight.send(&mut lp, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |_| kept.get().is_some());
    fresh.settle(&mut lp);
    lp.server(server).shutdown(Duration::from_secs(10)).unwrap();
    assert!(std::net::TcpStream::connect(at).is_err(), "it does not listen any more");
    assert!(fresh.is_over(&mut lp) && idle.is_over(&mut lp));
    lp.exchange(kept.get().unwrap()).reply(200, "late").unwrap();
    let a = in_flight.answer(&mut lp);
    assert_eq!((a.text(), a.get("connection")), ("late", Some("close")));
    assert!(in_flight.is_over(&mut lp));
    drop((fresh, idle, in_flight));
    begun.send(&mut lp, "TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(begun.answer(&mut lp).get("connection"), Some("close"));
    assert!(begun.is_over(&mut lp) && log.lines().is_empty());
    drop(begun);
    poll_until(&mut lp, |_| log.has("the server is closed"));
    let _ = script;
}

/// Who does not come to an end is closed when the grace is over.
#[test]
fn n49_the_grace_is_the_end() {
    let (mut lp, script) = scripted();
    let (server, at) = serve(
        &mut lp,
        HttpOptions::new(),
        Plain(|_: &Head<'_>, x: Exchange<'_>| {
            x.later();
        }),
    );
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    c.settle(&mut lp);
    lp.server(server).shutdown(Duration::from_secs(10)).unwrap();
    script.advance(Duration::from_secs(9));
    c.settle(&mut lp);
    assert_eq!(lp.net_metrics().sockets, 1);
    script.advance(Duration::from_secs(2));
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
    assert_eq!(lp.http_metrics().broken, 1);
}

/// Behind a balancer: connections that wait are kept for a while, and their next request is answered.
#[test]
fn n49_a_shutdown_that_keeps_idle_connections() {
    let (mut lp, script) = scripted();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let k = kept.clone();
    let f = move |head: &Head<'_>, x: Exchange<'_>| match head.path() {
        "/begun" => k.set(Some(x.start(Response::new(200).length(4)).unwrap().key())),
        _ => x.reply(200, "hello"),
    };
    let options = HttpOptions::new().shutdown_idle(Duration::from_secs(3));
    let (server, at) = serve(&mut lp, options, Plain(f));
    let [mut used, mut unused, mut begun, mut discards] = [(); 4].map(|()| Peer::new(at));
    used.get(&mut lp, "/");
    unused.get(&mut lp, "/");
    begun.send(&mut lp, "GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |_| kept.get().is_some());
    let whole = post("/", b"0123456789");
    discards.send(&mut lp, &whole[..whole.len() - 5]);
    discards.answer(&mut lp);
    lp.server(server).shutdown(Duration::from_secs(20)).unwrap();
    unused.settle(&mut lp);
    assert!(std::net::TcpStream::connect(at).is_err(), "it does not listen any more");
    script.advance(Duration::from_secs(2));
    unused.settle(&mut lp);
    // The client was told that it may go on, and does.
    lp.exchange(kept.get().unwrap()).end_with("tide").unwrap();
    assert_eq!(begun.answer(&mut lp).text(), "tide");
    discards.send(&mut lp, &whole[whole.len() - 5..]);
    for mut peer in [used, begun, discards] {
        let last = peer.get(&mut lp, "/");
        assert_eq!((last.text(), last.get("connection")), ("hello", Some("close")));
        assert!(peer.is_over(&mut lp));
    }
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 1);
    unused.settle(&mut lp);
    assert_eq!(lp.net_metrics().sockets, 1, "the unused one is kept");
    script.advance(Duration::from_secs(2));
    assert!(unused.is_over(&mut lp));
}

/// A response that has begun when the server shuts down, and a body that is still dropped: each
/// connection closes right after that, not when it was idle for long.
#[test]
fn n49_what_has_begun_is_the_last() {
    let mut lp = guarded();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let k = kept.clone();
    let f = move |head: &Head<'_>, x: Exchange<'_>| match head.path() {
        "/begun" => k.set(Some(x.start(Response::new(200).length(4)).unwrap().key())),
        _ => x.reply(200, "no"),
    };
    let (server, at) = serve(&mut lp, HttpOptions::new(), Plain(f));
    let (mut begun, mut discards) = (Peer::new(at), Peer::new(at));
    begun.send(&mut lp, "GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |_| kept.get().is_some());
    let whole = post("/", b"0123456789");
    discards.send(&mut lp, &whole[..whole.len() - 5]);
    assert_eq!(discards.answer(&mut lp).get("connection"), None);
    lp.server(server).shutdown(Duration::from_secs(15)).unwrap();
    begun.settle(&mut lp);
    let start = std::time::Instant::now();
    lp.exchange(kept.get().unwrap()).end_with("tide").unwrap();
    assert_eq!(begun.answer(&mut lp).text(), "tide");
    assert!(begun.is_over(&mut lp));
    discards.send(&mut lp, &whole[whole.len() - 5..]);
    assert!(discards.is_over(&mut lp));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// A slow reader of a long answer, after which the connection closes, gets all of it: the time of
/// `linger` begins when it is out.
#[test]
fn n51_lingering_begins_when_the_answer_is_out() {
    const LEN: usize = 30 << 20;
    let (mut lp, script) = Loop::scripted().unwrap();
    let f = |_: &Head<'_>, x: Exchange<'_>| {
        x.respond(Response::new(200).close(), vec![7; LEN]).unwrap();
    };
    let (_, at) = serve(&mut lp, HttpOptions::new(), Plain(f));
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    let end = std::time::Instant::now() + DEADLINE;
    let mut passed = 0;
    loop {
        lp.run_nowait().unwrap();
        match (&c.s).read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                read += n;
                // About every MiB.
                if read >> 20 > passed {
                    passed = read >> 20;
                    script.advance(Duration::from_secs(2));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => panic!("after {read} bytes: {e}"),
        }
        assert!(std::time::Instant::now() < end);
    }
    assert!(read > LEN, "{read}");
    assert!(passed > 20, "more than 30 s passed");
}
