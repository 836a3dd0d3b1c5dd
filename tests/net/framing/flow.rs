//! What stops frames, and what goes on: `Full` and the drain, pause and resume, ends, other
//! handlers and pipes. Always in the middle of a chunk.

use std::net::TcpStream;
use std::time::Duration;

use tidegate::net::*;
use tidegate::prelude::*;

use super::Cut;
use crate::support::*;

/// A connection whose peer has written these bytes.
fn with(bytes: &[u8]) -> (Guarded, TcpStream, TcpStream, Log) {
    let (peer, ours) = pair();
    write_all(&peer, bytes);
    if !bytes.is_empty() {
        arrived(&ours);
    }
    (guarded(), peer, ours, Log::default())
}

fn on(log: &Log) -> OnWith<Log> {
    On::with(log.clone())
        .end(|log, _| log.add("end"))
        .close(|log, _, close| log.add(close.reason.to_string()))
}

fn note(log: &Log, frame: &[u8]) {
    log.add(String::from_utf8_lossy(frame));
}

/// Every frame is answered with more than the kernel takes: each waits for the drain of the one
/// before, and none is lost, though all came in one chunk.
#[test]
fn full_in_the_middle_of_a_chunk() {
    const ANSWER: usize = 8 << 20;
    for size in [usize::MAX, 3] {
        let (mut lp, peer, ours, log) = with(b"a\nb\nc\n");
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let framed =
            on(&log).drain(|log, _| log.add("drain")).framed(Lines::new(9), |log, s, line| {
                note(log, line);
                s.write(vec![line[0]; ANSWER])
            });
        let key = lp.adopt(ours, Cut::new(framed, move || size)).unwrap();
        turn_until(&mut lp, |_| log.has("a"));
        for _ in 0..3 {
            lp.run_nowait().unwrap();
        }
        assert_eq!(log.lines(), ["a"], "it waits for the drain");
        assert!(lp.socket(key).is_paused());
        let reader = std::thread::spawn(move || read_to_end(&peer));
        lp.run().unwrap();
        let all = reader.join().unwrap();
        let answers: Vec<_> = all.chunks(ANSWER).map(|a| (a[0], a.len())).collect();
        assert_eq!(answers, [(b'a', ANSWER), (b'b', ANSWER), (b'c', ANSWER)]);
        // The reader may be so quick that the kernel takes an answer whole.
        let lines = log.lines();
        assert_eq!(lines[..2], ["a", "drain"]);
        let others: Vec<_> = lines[2..].iter().filter(|l| *l != "drain").collect();
        assert_eq!(others, ["b", "c", "end", "both sides ended"], "{lines:?}");
    }
}

/// Answers to the frames of one chunk leave together, behind the last of them; the answer to a
/// frame that came alone leaves at once.
#[test]
fn answers_of_one_chunk_leave_together() {
    for (bytes, waiting) in [(&b"a\n"[..], vec!["0"]), (b"a\nb\nc\n", vec!["1", "2", "3"])] {
        let (mut lp, peer, ours, log) = with(bytes);
        let framed = on(&log).framed(Lines::new(9), |log, s, line| {
            let flow = s.write(line);
            log.add(s.buffered().to_string());
            flow
        });
        let key = lp.adopt(ours, framed).unwrap();
        turn_until(&mut lp, |_| log.lines().len() == waiting.len());
        assert_eq!(log.lines(), waiting);
        assert_eq!(lp.socket(key).buffered(), 0, "nothing is held back behind the chunk");
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        lp.run().unwrap();
        assert_eq!(read_to_end(&peer).len(), waiting.len());
    }
}

/// The peer has sent everything, and its end: only the resume can bring the other frames.
#[test]
fn a_pause_in_a_frame_lasts_until_the_resume() {
    for flow in [Flow::Ready, Flow::Full] {
        let (mut lp, peer, ours, log) = with(b"a\nb\nc\n");
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let framed = on(&log).framed(Lines::new(9), move |log, s, line| {
            note(log, line);
            s.pause();
            let (key, log) = (s.key(), log.clone());
            s.after(Duration::from_millis(1), move |cx| {
                log.add("resume");
                cx.socket(key).resume();
            });
            flow
        });
        lp.adopt(ours, framed).unwrap();
        lp.run().unwrap();
        let expected = ["a", "resume", "b", "resume", "c", "resume", "end", "both sides ended"];
        assert_eq!(log.lines(), expected);
    }
}

/// `Full` for a reason of the user's: nothing was written, so no drain comes.
#[test]
fn full_without_a_write_lasts_until_the_resume() {
    let (mut lp, peer, ours, log) = with(b"a\nb\n");
    let framed = on(&log).framed(Lines::new(9), |log, _, line| {
        note(log, line);
        Flow::Full
    });
    let key = lp.adopt(ours, framed).unwrap();
    turn_until(&mut lp, |_| log.has("a"));
    lp.run_nowait().unwrap();
    assert_eq!(log.lines(), ["a"]);
    lp.socket(key).resume();
    turn_until(&mut lp, |_| log.has("b"));
    lp.socket(key).resume();
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["a", "b", "end", "both sides ended"]);
}

#[test]
fn a_connection_that_is_closed_in_a_frame_gets_no_other() {
    for size in [usize::MAX, 1] {
        let (mut lp, _peer, ours, log) = with(b"a\nb\nc\n");
        let framed = on(&log).framed(Lines::new(9), |log, s, line| {
            note(log, line);
            if line == b"b" {
                s.destroy();
            }
            Flow::Ready
        });
        lp.adopt(ours, Cut::new(framed, move || size)).unwrap();
        lp.run().unwrap();
        assert_eq!(log.lines(), ["a", "b", "destroyed"]);
    }
}

/// `Closed` wants no frame any more, but sees the peer's end.
#[test]
fn after_closed_the_rest_is_dropped() {
    for size in [usize::MAX, 1] {
        let (mut lp, peer, ours, log) = with(b"a\nb\nc\nd");
        let framed = on(&log).framed(Lines::new(9), |log, s, line| {
            note(log, line);
            if line == b"b" {
                s.end();
            }
            s.write("x")
        });
        lp.adopt(ours, Cut::new(framed, move || size)).unwrap();
        turn_until(&mut lp, |_| log.has("b"));
        assert_eq!(read_to_end(&peer), b"x");
        drop(peer);
        lp.run().unwrap();
        assert_eq!(log.lines(), ["a", "b", "end", "both sides ended"]);
    }
}

/// What comes behind the frame that sets another handler is for that.
#[test]
fn a_handler_that_is_set_in_a_frame_gets_the_rest() {
    for size in [usize::MAX, 1, 4] {
        let (mut lp, peer, ours, log) = with(b"a\nUPGRADE\nhigh\nwater");
        drop(peer);
        let framed = on(&log).framed(Lines::new(9), |log, s, line| {
            note(log, line);
            if line == b"UPGRADE" {
                let log = log.clone();
                let upgraded = On::with((log, Vec::new()))
                    .data(|(_, all), _, chunk| all.extend_from_slice(chunk))
                    .end(|(log, all), _| note(log, all));
                s.set_handler(upgraded);
            }
            Flow::Full
        });
        let key = lp.adopt(ours, Cut::new(framed, move || size)).unwrap();
        turn_until(&mut lp, |_| log.has("a"));
        lp.socket(key).resume();
        lp.run().unwrap();
        assert_eq!(log.lines(), ["a", "UPGRADE", "high\nwater"]);
    }
}

/// So is it for a pipe, though this was paused, as a proxy is that connects first.
#[test]
fn a_pipe_gets_the_rest() {
    for at_once in [true, false] {
        let (mut lp, peer, ours, log) = with(b"CONNECT\nhigh\nwater");
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let (far, upstream) = pair();
        let to = lp.adopt(upstream, On::new()).unwrap();
        let framed = on(&log).framed(Lines::new(9), move |log, s, line| {
            note(log, line);
            let from = s.key();
            let pipe = move |cx: &mut Cx<'_>| {
                cx.pipe(from, to, |_, result| result.unwrap()).unwrap();
            };
            if at_once {
                pipe(&mut s.cx());
            } else {
                s.pause();
                s.after(Duration::from_millis(1), pipe);
            }
            Flow::Ready
        });
        lp.adopt(ours, framed).unwrap();
        let reader = std::thread::spawn(move || read_to_end(&far));
        lp.run().unwrap();
        assert_eq!(reader.join().unwrap(), b"high\nwater");
        assert_eq!(log.lines(), ["CONNECT", "end", "both sides ended"]);
    }
}

/// One connection's frames go to another, at its pace.
#[test]
fn full_of_another_connection() {
    let (mut lp, peer, ours, log) = with(b"");
    let (far, upstream) = pair();
    let to = lp.adopt(upstream, On::new()).unwrap();
    let framed = on(&log)
        .end(move |_, s| s.socket(to).end())
        .framed(LengthPrefixed::u32_be(1 << 20), move |_, s, frame| s.socket(to).write(frame));
    let from = lp.adopt(ours, framed).unwrap();
    lp.socket(to).set_handler(On::new().drain(move |s| s.socket(from).resume()));
    let frame = vec![7; 1 << 20];
    let sent = std::thread::spawn(move || {
        for _ in 0..20 {
            write_all(&peer, &(frame.len() as u32).to_be_bytes());
            write_all(&peer, &frame);
        }
    });
    let reader = std::thread::spawn(move || read_to_end(&far).len());
    lp.run().unwrap();
    sent.join().unwrap();
    assert_eq!(reader.join().unwrap(), 20 << 20);
}
