//! Bodies as ends of pipes.

use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::thread;

use tidegate::http::{Exchange, Head, Http};
use tidegate::prelude::*;
use tidegate::stream::{BoxError, ReadableCx, ReadableOptions, Source};

use super::*;

fn echo(_: &Head<'_>, x: Exchange<'_>) {
    let mut x = x.start(200).unwrap();
    let (body, reply) = (x.body_end(), x.reply_end());
    x.pipe(body, reply, |_, result| result.unwrap()).unwrap();
}

fn thread_of<T: Send + 'static>(lp: &mut Loop, f: impl FnOnce() -> T + Send + 'static) -> T {
    let it = thread::spawn(f);
    poll_until(lp, |_| it.is_finished());
    it.join().unwrap()
}

/// The decoded body of a whole response in these bytes.
fn body(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = ResponseDecoder::new(Limits::default());
    let (mut at, mut all) = (0, Vec::new());
    loop {
        let mut fields = Fields::new();
        let (n, event) = decoder.next(&bytes[at..], &mut fields);
        at += n;
        match event {
            Event::Body(part) => all.extend(part),
            Event::End => return all,
            Event::Head(_) => {}
            event => panic!("{event:?}"),
        }
    }
}

/// A body of 64 MiB goes back through a pipe while it comes.
#[test]
fn n13_an_echo_through_a_pipe() {
    const LEN: usize = 64 << 20;
    let mut lp = guarded();
    let at = listen(&mut lp, echo);
    let s = client(at);
    let writer = s.try_clone().unwrap();
    let sender = thread::spawn(move || {
        write_all(
            &writer,
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {LEN}\r\n\r\n"
            )
            .as_bytes(),
        );
        let part: Vec<u8> = (0..1 << 16).map(|i| (i % 251) as u8).collect();
        for _ in 0..LEN >> 16 {
            write_all(&writer, &part);
        }
    });
    let reader = thread::spawn(move || read_to_end(&s));
    let mut most = 0;
    poll_until(&mut lp, |lp| {
        most = most.max(lp.net_metrics().held);
        reader.is_finished()
    });
    sender.join().unwrap();
    let got = body(&reader.join().unwrap());
    assert!(
        got.len() == LEN
            && got.iter().enumerate().all(|(i, b)| *b == ((i % (1 << 16)) % 251) as u8)
    );
    assert!(most < 1 << 20, "{most} bytes were held");
}

/// A client that waits for the status 100 gets it before the answer that the pipe writes.
#[test]
fn n20_a_pipe_asks_for_the_body() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| {
        let mut x = x.later();
        let (body, reply) = (x.body_end(), x.reply_end());
        x.pipe(body, reply, |_, result| result.unwrap()).unwrap();
    });
    let mut c = Peer::new(at);
    for body in ["4\r\ntide\r\n0\r\n\r\n", "0\r\n\r\n"] {
        let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
        c.send(&mut lp, head);
        assert_eq!(c.answer(&mut lp).status, 100);
        c.send(&mut lp, body);
        let a = c.answer(&mut lp);
        assert_eq!((a.status, a.text()), (200, if body.starts_with('4') { "tide" } else { "" }));
        assert_eq!(a.get("connection"), None, "it goes on");
    }
}

/// Bodies through pipes, one request behind the other.
#[test]
fn pipes_one_after_the_other() {
    let mut lp = guarded();
    let at = listen(&mut lp, echo);
    let mut c = Peer::new(at);
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let all = [&post("/", b"high tide")[..], GET.as_bytes(), chunked.as_bytes()].concat();
    for _ in 0..3 {
        c.send(&mut lp, &all);
        for expected in ["high tide", "", "abc"] {
            assert_eq!(c.answer(&mut lp).text(), expected);
        }
    }
}

struct Counts(u32);

impl Source for Counts {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        while self.0 > 0 {
            self.0 -= 1;
            if r.push(vec![b'x'; 1000]) != Flow::Ready {
                return Ok(());
            }
        }
        r.push_end();
        Ok(())
    }
}

struct Fails;

impl Source for Fails {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        let _ = r.push("some");
        Err("the disk is gone".into())
    }
}

/// A stream of the user's is the body; one that fails resets the connection.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_stream_is_the_body() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = listen(&mut lp, move |head, x| {
        let mut x = x.later();
        let options = ReadableOptions::default();
        let from = match head.path() {
            "/fails" => x.open_readable(options, Fails, ()).unwrap(),
            _ => x.open_readable(options, Counts(2000), ()).unwrap(),
        };
        // The response begins by itself.
        let (to, done) = (x.reply_end(), l.clone());
        let done = move |_: &mut Cx<'_>, r: Result<(), tidegate::stream::PipeError>| {
            done.add(r.map_or_else(|e| e.to_string(), |()| "done".into()));
        };
        x.pipe(from, to, done).unwrap();
    });
    let mut c = Peer::new(at);
    assert_eq!(c.get(&mut lp, "/").body.len(), 2_000_000);
    poll_until(&mut lp, |_| log.has("done"));
    c.send(&mut lp, "GET /fails HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
    poll_until(&mut lp, |_| log.lines().len() == 2);
    assert!(log.lines()[1].contains("the disk is gone"), "{:?}", log.lines());
}

/// An upload goes into another connection, at its pace, and is answered behind it.
#[test]
fn an_upload_into_a_connection() {
    let mut lp = guarded();
    let at = listen(&mut lp, move |_, x| {
        let mut x = x.start(200).unwrap();
        let from = x.body_end();
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = x.connect(l.local_addr().unwrap(), On::new().close(|_, _| {}));
        let sink = thread::spawn(move || {
            let (s, _) = l.accept().unwrap();
            read_to_end(&s).len()
        });
        let key = x.key();
        x.pipe(from, to, move |cx, r| {
            r.unwrap();
            cx.exchange(key).end_with(format!("{}", sink.join().unwrap())).unwrap();
        })
        .unwrap();
    });
    let got = thread_of(&mut lp, move || {
        let s = client(at);
        let head =
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n";
        write_all(&s, &[head.as_bytes(), &vec![1; 3_000_000]].concat());
        let mut all = Vec::new();
        (&s).read_to_end(&mut all).unwrap();
        let _ = s.shutdown(Shutdown::Both);
        all
    });
    assert_eq!(body(&got), b"3000000");
}
