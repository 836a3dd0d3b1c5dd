//! Two connections joined: half-close passes over, both close, and the error comes once.

use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use tidegate::prelude::*;

use crate::pipe_ends::*;
use crate::support::*;

/// A connection of the loop's, and its peer.
fn end(lp: &mut Loop, name: &'static str, log: &Log) -> (TcpStream, SocketKey) {
    let (peer, ours) = pair();
    let log = log.clone();
    let on = On::new().close(move |_, close| log.add(format!("{name}: {close}")));
    (peer, lp.adopt(ours, on).unwrap())
}

fn begins(log: &Log, n: usize, text: &str) {
    assert!(log.lines()[n].starts_with(text), "{:?} at {n} in {:?}", text, log.lines());
}

#[test]
fn half_closes_pass_over_and_both_close() {
    let mut lp = guarded();
    let log = Log::default();
    let (left, a) = end(&mut lp, "a", &log);
    let (right, b) = end(&mut lp, "b", &log);
    lp.join(a, b, done(&log));
    let asks = std::thread::spawn(move || {
        write_all(&left, &[7; 3 << 20]);
        left.shutdown(std::net::Shutdown::Write).unwrap();
        read_to_end(&left)
    });
    // It answers only after the end.
    let answers = std::thread::spawn(move || {
        let asked = read_to_end(&right);
        write_all(&right, format!("you asked {} bytes", asked.len()).as_bytes());
    });
    lp.run().unwrap();
    answers.join().unwrap();
    assert_eq!(asks.join().unwrap(), b"you asked 3145728 bytes");
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["a: both sides ended", "b: both sides ended", "done"]);
    assert_eq!(handles(&lp), 0);
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn an_error_comes_once_and_says_whose_it_is() {
    for (resets_a, text) in
        [(true, "the pipe's source failed: "), (false, "the pipe's sink failed: ")]
    {
        let mut lp = guarded();
        let log = Log::default();
        let (left, a) = end(&mut lp, "a", &log);
        let (right, b) = end(&mut lp, "b", &log);
        lp.join(a, b, done(&log));
        write_all(&left, b"there");
        write_all(&right, b"back");
        let (resets, other) = if resets_a { (left, right) } else { (right, left) };
        turn_until(&mut lp, |lp| lp.socket(a).bytes_read() + lp.socket(b).bytes_read() == 9);
        reset(resets);
        lp.run().unwrap();
        assert!(was_reset(&other), "the other peer sees that it is no ordinary end");
        let lines = log.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines.iter().filter(|l| l.starts_with(text)).count(), 1, "{lines:?}");
        assert!(lines.iter().all(|l| l.contains("ECONNRESET")), "{lines:?}");
    }
}

#[test]
fn a_target_that_refuses_closes_the_client() {
    let mut lp = guarded();
    let log = Log::default();
    let (left, a) = end(&mut lp, "a", &log);
    let target = lp.connect(closed_port(), On::new().close(|_, close| assert!(close.piped)));
    lp.join(a, target, done(&log));
    write_all(&left, b"is anybody there?");
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 2);
    begins(&log, 0, "a: its pipe broke: the other end failed: connect to ");
    begins(&log, 1, "the pipe's sink failed: connect to ");
}

#[test]
fn destroying_one_closes_the_other() {
    let mut lp = guarded();
    let log = Log::default();
    let (_left, a) = end(&mut lp, "a", &log);
    let (_right, b) = end(&mut lp, "b", &log);
    lp.join(a, b, done(&log));
    lp.after(Duration::from_millis(1), move |cx| cx.socket(b).destroy());
    lp.run().unwrap();
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines[..2], ["a: its pipe broke: the other end was destroyed", "b: destroyed"]);
    assert_eq!(lines[2..], ["the pipe's sink was destroyed"]);
}

#[test]
fn one_that_is_over_or_piped_already() {
    let mut lp = guarded();
    let log = Log::default();
    let (_left, a) = end(&mut lp, "a", &log);
    let (_right, over) = end(&mut lp, "b", &log);
    lp.socket(over).destroy();
    lp.join(a, over, done(&log));
    lp.run().unwrap();
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines[1..], ["b: destroyed", "the pipe's sink was destroyed"], "{lines:?}");
    assert!(lines[0].starts_with("a: its pipe broke"), "{lines:?}");

    let log = Log::default();
    let (_left, a) = end(&mut lp, "a", &log);
    let (_right, b) = end(&mut lp, "b", &log);
    let (to, _) = keep(&mut lp, false, 100);
    lp.pipe(a, to, |_, _| {}).unwrap();
    lp.join(a, b, done(&log));
    lp.run().unwrap();
    assert!(log.has("the pipe's source is an end of another pipe"), "{:?}", log.lines());
    assert_eq!(log.lines().len(), 3, "{:?}", log.lines());
}

/// `done` of a loop that is dropped is dropped, and not called.
#[test]
fn nothing_is_left_of_a_dropped_loop() {
    let mut lp = guarded();
    let log = Log::default();
    let (_left, a) = end(&mut lp, "a", &log);
    let (_right, b) = end(&mut lp, "b", &log);
    let held = Rc::new(());
    let h = held.clone();
    lp.join(a, b, move |_, _| panic!("called with {h:?}"));
    lp.run_nowait().unwrap();
    drop(lp);
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(log.lines().is_empty());
}

#[test]
fn a_done_that_panics_leaves_run_and_nothing_else() {
    let mut lp = guarded();
    let log = Log::default();
    let (left, a) = end(&mut lp, "a", &log);
    let (right, b) = end(&mut lp, "b", &log);
    lp.join(a, b, |_, _| panic!("done"));
    drop((left, right));
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
    assert!(run.is_err());
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 2);
    assert_eq!(handles(&lp), 0);
}

/// Without room for one of the two pipes: both ends are closed, and `done` says why, once.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_full_table_closes_both() {
    for room in [0, 1] {
        let mut lp = guarded();
        let log = Log::default();
        let (left, a) = end(&mut lp, "a", &log);
        let (right, b) = end(&mut lp, "b", &log);
        write_all(&left, b"tide");
        lp.limit_rows(room);
        lp.join(a, b, done(&log));
        assert!(log.lines().is_empty(), "nothing is called inside of the call");
        lp.run().unwrap();
        let mut lines = log.lines();
        lines.sort();
        assert_eq!(lines.len(), 3, "{room}: {lines:?}");
        let why = "failed: the loop holds 16777215 handles, its limit: close some first";
        for (line, name) in
            lines.iter().zip(["a: its pipe broke", "b: its pipe broke", "the pipe failed"])
        {
            assert!(line.starts_with(name) && line.ends_with(why), "{room}: {lines:?}");
        }
        assert!(was_reset(&left) && was_reset(&right), "{room}");
        assert_eq!(handles(&lp), 0);
        // There is room again.
        lp.share(()).unwrap();
    }
}
