//! The protocol of `framed.rs`: pipelined frames, bodies in pipes, bytes cut anywhere.

use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use bytes::Bytes;
use tidegate::prelude::*;
use tidegate::stream::*;

use super::framed::*;
use crate::support::*;

/// Takes this many connections, one after the other; what each sent.
fn collect(n: usize) -> (std::net::SocketAddr, thread::JoinHandle<Vec<Vec<u8>>>) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    let all = thread::spawn(move || {
        let one = |_| {
            let (s, _) = l.accept().unwrap();
            s.set_read_timeout(Some(DEADLINE)).unwrap();
            read_to_end(&s)
        };
        (0..n).map(one).collect()
    });
    (at, all)
}

fn log_of(lp: &mut Loop) -> Log {
    lp.cx().layer(&FRAMES).0.log.clone()
}

#[test]
fn pipelined_frames_are_answered_in_order() {
    let mut lp = guarded();
    let at = serve(&mut lp);
    let client = client(at);
    let bodies: Vec<_> = (0..50usize).map(|i| vec![i as u8; i * 10]).collect();
    let sent: Vec<_> = bodies.iter().flat_map(|b| frame(b'E', b)).collect();
    let expected: Vec<_> = bodies.iter().flat_map(|b| frame(b'R', b)).collect();
    write_all(&client, &sent);
    client.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&client), expected);
    assert_eq!(log_of(&mut lp).lines(), ["end", "finish", "close: both sides ended"]);
    assert!(lp.cx().layer(&FRAMES).0.conns.is_empty());
}

#[test]
fn frames_may_be_cut_at_every_byte() {
    let mut sent = frame(b'E', b"high");
    sent.extend(frame(b'P', b"water"));
    sent.extend(frame(b'E', b""));
    sent.extend(frame(b'P', b""));
    sent.extend(frame(b'U', b""));
    sent.extend(b"tide");
    let mut expected = frame(b'R', b"high");
    expected.extend(frame(b'K', b""));
    expected.extend(frame(b'R', b""));
    expected.extend(frame(b'K', b""));
    expected.extend(b"TIDE");
    for cut in 0..=sent.len() {
        let mut lp = guarded();
        let (target, bodies) = collect(2);
        lp.cx().layer(&FRAMES).0.target = Some(target);
        let client = client(serve(&mut lp));
        write_all(&client, &sent[..cut]);
        poll_until(&mut lp, |lp| lp.net_metrics().bytes_read == cut as u64);
        write_all(&client, &sent[cut..]);
        client.shutdown(Shutdown::Write).unwrap();
        lp.run().unwrap();
        assert_eq!(read_to_end(&client), expected, "cut at {cut}");
        let mut bodies = bodies.join().unwrap();
        bodies.sort();
        assert_eq!(bodies, [&b""[..], b"water"], "cut at {cut}");
        let lines = log_of(&mut lp).lines();
        assert_eq!(lines.iter().filter(|l| *l == "piped").count(), 2, "cut at {cut}: {lines:?}");
    }
}

/// Frames behind a body wait while its pipe does; nothing is lost, and little is held.
#[test]
fn a_body_goes_at_the_pace_of_its_sink() {
    const LEN: usize = 8 << 20;
    let mut lp = guarded();
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    lp.cx().layer(&FRAMES).0.target = Some(l.local_addr().unwrap());
    let client = client(serve(&mut lp));
    let writer = client.try_clone().unwrap();
    let body: Vec<u8> = (0..LEN).map(|i| (i / 7) as u8).collect();
    let mut sent = frame(b'P', &body);
    sent.extend(frame(b'E', b"after"));
    let sender = thread::spawn(move || {
        write_all(&writer, &sent);
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let log = log_of(&mut lp);
    // The sink reads nothing: the pipe waits, and with it the sender.
    turn_until(&mut lp, |_| log.has("pause"));
    let (sink, _) = l.accept().unwrap();
    sink.set_read_timeout(Some(DEADLINE)).unwrap();
    for _ in 0..10 {
        lp.run_nowait().unwrap();
    }
    let m = lp.net_metrics();
    assert!(m.held < 1 << 20, "{} bytes are held", m.held);
    assert!(m.bytes_read < LEN as u64);
    let reader = thread::spawn(move || read_to_end(&sink));
    lp.run().unwrap();
    sender.join().unwrap();
    assert!(reader.join().unwrap() == body);
    let mut answer = frame(b'K', b"");
    answer.extend(frame(b'R', b"after"));
    assert_eq!(read_to_end(&client), answer);
    assert!(log.has("resume") && log.has("piped"), "{:?}", log.lines());
}

/// A sink that takes all, and looks where the bytes are.
struct Where;

impl WriteEnd for Where {
    fn attach(&self, _: &mut Cx<'_>, _: PipeKey) -> Result<Flow, StreamError> {
        Ok(Flow::Ready)
    }
    fn try_write(&self, cx: &mut Cx<'_>, data: &[u8]) -> usize {
        let frames = cx.layer(&FRAMES).0;
        assert!(frames.lent.contains(&(data.as_ptr() as usize)), "not where it was read");
        frames.seen += data.len();
        data.len()
    }
    fn write(&self, _: &mut Cx<'_>, _: Bytes) -> Flow {
        panic!("everything was taken")
    }
    fn end(&self, cx: &mut Cx<'_>) {
        cx.layer(&FRAMES).0.log.add("sink ends");
    }
    fn destroy(&self, _: &mut Cx<'_>, _: &StreamError) {}
}

/// The sink of a pipe sees the bytes where the loop read them.
#[test]
fn a_body_is_not_copied() {
    let mut lp = guarded();
    lp.cx().layer(&FRAMES).0.open = Some(|cx, body| {
        cx.pipe(body, Where, |_, _| {}).unwrap();
    });
    let client = client(serve(&mut lp));
    write_all(&client, &frame(b'P', &[7; 100_000]));
    client.shutdown(Shutdown::Write).unwrap();
    let log = log_of(&mut lp);
    turn_until(&mut lp, |_| log.has("sink ends"));
    assert_eq!(lp.cx().layer(&FRAMES).0.seen, 100_000);
    lp.cx().close_all();
    lp.run().unwrap();
}

#[test]
fn a_client_that_does_not_read_stops_the_frames() {
    let mut lp = guarded();
    let client = client(serve(&mut lp));
    let body = vec![1u8; 50_000];
    let one = frame(b'E', &body);
    let mut writer = client.try_clone().unwrap();
    let sender = thread::spawn(move || {
        for _ in 0..400 {
            std::io::Write::write_all(&mut writer, &one).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let log = log_of(&mut lp);
    turn_until(&mut lp, |_| log.has("full"));
    for _ in 0..10 {
        lp.run_nowait().unwrap();
        assert!(lp.net_metrics().held < 1 << 20, "{:?}", lp.net_metrics());
    }
    let reader = thread::spawn(move || {
        let mut all = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match (&client).read(&mut buffer).unwrap() {
                0 => return all,
                n => all += n,
            }
        }
    });
    lp.run().unwrap();
    sender.join().unwrap();
    assert_eq!(reader.join().unwrap(), 400 * 50_005);
    assert!(log.has("drain"));
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_panic_in_a_protocol_closes_that_connection_alone() {
    let mut lp = guarded();
    let (bad, good) = (client(serve(&mut lp)), client(serve(&mut lp)));
    write_all(&bad, &frame(b'X', b""));
    let log = log_of(&mut lp);
    let end = std::time::Instant::now() + DEADLINE;
    while catch_unwind(AssertUnwindSafe(|| lp.run_once().unwrap())).is_ok() {
        assert!(std::time::Instant::now() < end);
    }
    turn_until(&mut lp, |_| log.has("close: a callback panicked"));
    assert!(was_reset(&bad));
    write_all(&good, &frame(b'E', b"tide"));
    good.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&good), frame(b'R', b"tide"));
}

/// The connection breaks in the middle of a piped body: the pipe gets the cause.
#[test]
fn a_body_that_is_cut_off_fails_its_pipe() {
    let mut lp = guarded();
    let (target, bodies) = collect(1);
    lp.cx().layer(&FRAMES).0.target = Some(target);
    let client = client(serve(&mut lp));
    let sent = frame(b'P', &[1; 1000]);
    write_all(&client, &sent[..500]);
    client.shutdown(Shutdown::Write).unwrap();
    let log = log_of(&mut lp);
    lp.run().unwrap();
    let lines = log.lines();
    assert!(lines.iter().any(|l| l.starts_with("pipe: ")), "{lines:?}");
    assert!(log.has("close: destroyed"), "{lines:?}");
    drop(bodies);
}
