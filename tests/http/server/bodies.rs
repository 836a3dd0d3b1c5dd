//! Bodies of requests and of responses, and their back-pressure.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::thread;

use tidegate::http::{ExchangeCx, ExchangeHandler, Http, OnExchange};
use tidegate::prelude::*;

use super::*;

fn chunked(parts: &[&str]) -> String {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let part = |p: &&str| format!("{:x}\r\n{p}\r\n", p.len());
    head + &parts.iter().map(part).collect::<String>() + "0\r\nX-Sum: 7\r\n\r\n"
}

/// Everything that an exchange is called for.
struct Logs(Log);

impl ExchangeHandler for Logs {
    fn on_data(&mut self, _: &mut ExchangeCx<'_>, chunk: &[u8]) {
        self.0.add(format!("data {}", String::from_utf8_lossy(chunk)));
    }
    fn on_trailers(
        &mut self,
        _: &mut ExchangeCx<'_>,
        trailers: tidegate::http::codec::FieldList<'_>,
    ) {
        self.0.add(format!("trailers {trailers:?}"));
    }
    fn on_end(&mut self, x: &mut ExchangeCx<'_>) {
        self.0.add("end");
        let _ = x.reply(200, "done");
    }
    fn on_close(&mut self, _: &mut Cx<'_>, result: Result<(), tidegate::http::Broken>) {
        self.0.add(match result {
            Ok(()) => "closed".to_owned(),
            Err(e) => format!("broken: {e}"),
        });
    }
}

#[test]
fn n15_chunks_and_trailers() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = listen(&mut lp, move |_, x| {
        x.handle(Logs(l.clone()));
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, chunked(&["high", " tide"]));
    assert_eq!(c.answer(&mut lp).text(), "done");
    let expected = ["data high", "data  tide", "trailers {\"X-Sum\": \"7\"}", "end", "closed"];
    assert_eq!(log.lines(), expected);
    // No body: the end all the same.
    assert_eq!(c.get(&mut lp, "/").text(), "done");
    assert_eq!(log.lines()[5..], ["end", "closed"]);
    assert_eq!(lp.http_metrics().in_flight, 0);
}

#[test]
fn n16_extensions_have_a_limit_across_segments() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| {
        x.collect(10, |x, _| {
            let _ = x.reply(200, "");
        })
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;");
    for _ in 0..17 {
        c.send(&mut lp, "a".repeat(1000));
        c.turn(&mut lp);
    }
    assert_eq!(c.answer(&mut lp).status, 413);
    assert_eq!(lp.http_metrics().refused, 1);
}

#[test]
fn collect_has_a_limit() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| {
        x.collect(5, |x, body| {
            let _ = x.reply(200, body);
        })
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, post("/", b"hello"));
    assert_eq!(c.answer(&mut lp).text(), "hello");
    // A little more than that: it is dropped, and the connection goes on.
    c.send(&mut lp, post("/", b"hello!"));
    assert_eq!(c.answer(&mut lp).status, 413);
    c.send(&mut lp, post("/", b"again"));
    assert_eq!(c.answer(&mut lp).text(), "again");
    // Of chunks the length is not known before.
    c.send(&mut lp, chunked(&["abc", "def", "ghi"]));
    let a = c.answer(&mut lp);
    assert_eq!((a.status, a.get("connection")), (413, Some("close")));
    assert!(c.is_over(&mut lp));
}

/// A body that nobody asks for: a small one is dropped, after a large one the connection closes, and
/// the answer arrives.
#[test]
fn bodies_that_nobody_wants() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| x.reply(200, "no"));
    let mut c = Peer::new(at);
    for size in [1, 1000, 65_536] {
        c.send(&mut lp, post("/", &vec![b'x'; size]));
        assert_eq!(c.answer(&mut lp).text(), "no");
    }
    assert_eq!(c.get(&mut lp, "/").text(), "no");
    c.send(&mut lp, post("/", &vec![b'x'; 65_537]));
    let a = c.answer(&mut lp);
    assert_eq!((a.text(), a.get("connection")), ("no", Some("close")));
    assert!(c.is_over(&mut lp));
}

#[test]
fn n11_an_upload_goes_at_the_pace_of_the_handler() {
    const LEN: usize = 16 << 20;
    let mut lp = guarded();
    let got = Rc::new(Cell::new(0));
    let paused = Rc::new(Cell::new(None));
    let (g, p) = (got.clone(), paused.clone());
    let at = listen(&mut lp, move |_, x| {
        let (g, p) = (g.clone(), p.clone());
        let all = g.clone();
        x.handle(
            OnExchange::new()
                .data(move |x, chunk| {
                    if g.replace(g.get() + chunk.len()) == 0 {
                        x.pause();
                        p.set(Some(x.key()));
                    }
                })
                .end(move |x| {
                    let _ = x.reply(200, format!("{}", all.get()));
                }),
        );
    });
    let s = client(at);
    let sender = thread::spawn(move || {
        write_all(&s, &post("/", &vec![7; LEN]));
        let mut answer = vec![0; 1000];
        let n = (&s).read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..n]).into_owned()
    });
    turn_until(&mut lp, |_| paused.get().is_some());
    let before = got.get();
    for _ in 0..50 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(got.get(), before, "nothing comes while it is paused");
    assert!(lp.net_metrics().held <= 1 << 17 && !sender.is_finished());
    lp.exchange(paused.get().unwrap()).resume();
    poll_until(&mut lp, |_| sender.is_finished());
    assert!(sender.join().unwrap().ends_with(&format!("\r\n\r\n{LEN}")));
}

/// A download of any size: `Full`, then one drain, and again; little memory.
#[test]
fn n12_a_download_goes_at_the_pace_of_the_client() {
    const PARTS: usize = 400;
    struct Sends(usize, Log);
    impl Sends {
        fn go_on(&mut self, x: &mut ExchangeCx<'_>) {
            while self.0 < PARTS {
                self.0 += 1;
                if x.write(vec![7; 64 * 1024]) == Flow::Full {
                    return self.1.add("full");
                }
            }
            x.end().unwrap();
        }
    }
    impl ExchangeHandler for Sends {
        fn on_drain(&mut self, x: &mut ExchangeCx<'_>) {
            self.1.add("drain");
            self.go_on(x);
        }
        fn on_end(&mut self, x: &mut ExchangeCx<'_>) {
            x.start(200).unwrap();
            self.go_on(x);
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = listen(&mut lp, move |_, x| {
        x.handle(Sends(0, l.clone()));
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    poll_until(&mut lp, |_| log.has("full"));
    for _ in 0..50 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(log.lines(), ["full"], "no drain while nobody reads");
    assert!(lp.net_metrics().held < 1 << 20);
    let a = c.answer(&mut lp);
    assert!(a.body.len() == PARTS * 64 * 1024 && a.body.iter().all(|b| *b == 7));
    let lines = log.lines();
    assert!(lines.chunks(2).all(|two| two[0] == "full" && two.get(1).is_none_or(|d| d == "drain")));
    assert_eq!(c.get(&mut lp, "/").body.len(), PARTS * 64 * 1024);
}

#[test]
fn n14_clients_that_leave() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = listen(&mut lp, move |head, x| match head.path() {
        "/up" => drop(x.handle(Logs(l.clone()))),
        _ => {
            let mut x = x.start(200).unwrap();
            x.handle(Logs(l.clone()));
            let _ = x.write(vec![0; 10 << 20]);
        }
    });
    // In the middle of an upload, by a FIN and by a RST.
    for is_reset in [false, true] {
        let mut c = Peer::new(at);
        c.send(&mut lp, &post("/up", b"0123456789")[..post("/up", b"").len() + 5]);
        turn_until(&mut lp, |_| log.lines().iter().any(|l| l.starts_with("data")));
        match is_reset {
            true => reset(c.s),
            false => drop(c),
        }
        poll_until(&mut lp, |_| log.lines().iter().any(|l| l.starts_with("broken")));
        assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
        log.0.borrow_mut().clear();
    }
    // In the middle of a download.
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    c.settle(&mut lp);
    reset(c.s);
    poll_until(&mut lp, |_| log.lines().iter().any(|l| l.starts_with("broken")));
    let m = lp.http_metrics();
    assert_eq!((m.broken, m.in_flight, m.connections), (3, 0, 0));
}

#[test]
fn n20_continue() {
    let mut lp = guarded();
    let at = listen(&mut lp, |head, x| match head.path() {
        "/no" => x.reply(403, "no"),
        _ => x.collect(100, |x, body| {
            let _ = x.reply(200, body);
        }),
    });
    let ask = |target: &str, expect: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: {expect}\r\n\r\n"
        )
    };
    let mut c = Peer::new(at);
    c.send(&mut lp, ask("/", "100-continue"));
    assert_eq!(c.answer(&mut lp).status, 100);
    c.send(&mut lp, "hello");
    assert_eq!(c.answer(&mut lp).text(), "hello");
    // The body is there already: nobody waits.
    c.send(&mut lp, ask("/", "100-continue") + "hello");
    assert_eq!(c.answer(&mut lp).text(), "hello");
    // Something that nobody knows.
    c.send(&mut lp, ask("/", "tide") + "hello");
    assert_eq!(c.answer(&mut lp).status, 417);
    assert_eq!(c.get(&mut lp, "/x").status, 200);
    // Answered without 100: whether the body comes is not known, so the connection ends.
    c.send(&mut lp, ask("/no", "100-continue"));
    let a = c.answer(&mut lp);
    assert_eq!((a.status, a.get("connection")), (403, Some("close")));
    assert!(c.is_over(&mut lp));
    let mut c = Peer::new(at);
    c.send(&mut lp, "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    c.settle(&mut lp);
    c.send(&mut lp, "hello");
    assert_eq!(c.answer(&mut lp).status, 200, "HTTP/1.0 knows no 100");
}

/// The head of the answer is written before the body is asked for: 100 comes before it, and the
/// client sends the body. An answer that refuses comes without.
#[test]
fn n20_continue_before_an_answer_in_parts() {
    let mut lp = guarded();
    let at = listen(&mut lp, |head, x| match head.path() {
        "/no" => drop(x.start(413).map(|mut x| x.end())),
        path => {
            let takes = path == "/pipe";
            let mut x = x.start(200).unwrap();
            match takes {
                true => {
                    let (body, reply) = (x.body_end(), x.reply_end());
                    x.pipe(body, reply, |_, result| result.unwrap()).unwrap();
                }
                // And the body is not wanted.
                false => x.end().unwrap(),
            }
        }
    });
    let ask = |target: &str| {
        let length = "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n";
        format!("POST {target} HTTP/1.1\r\nHost: a\r\n{length}")
    };
    let mut c = Peer::new(at);
    for (target, text) in [("/pipe", "tide"), ("/drop", ""), ("/pipe", "tide")] {
        c.send(&mut lp, ask(target));
        assert_eq!(c.answer(&mut lp).status, 100);
        c.send(&mut lp, "tide");
        let a = c.answer(&mut lp);
        assert_eq!((a.status, a.text(), a.get("connection")), (200, text, None));
    }
    c.send(&mut lp, ask("/no"));
    let a = c.answer(&mut lp);
    assert_eq!((a.status, a.get("connection")), (413, Some("close")));
    assert!(c.is_over(&mut lp));
}
