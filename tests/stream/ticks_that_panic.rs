//! A tick that panics between two callbacks of a stream or a connection: the second still comes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use bytes::BytesMut;
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::pipe_ends::*;
use crate::support::*;

fn boom(cx: &mut Cx<'_>) {
    cx.next_tick(|_| resume_unwind(Box::new("on purpose")));
}

// ---- panic of a tick between a stream's last word and the pipe's
struct TickAtEnd;

impl ReadHandler for TickAtEnd {
    fn on_end(&mut self, r: &mut ReadableCx<'_>) {
        boom(&mut r.cx())
    }
}

impl WriteHandler for TickAtEnd {
    fn on_finish(&mut self, w: &mut WritableCx<'_>) {
        boom(&mut w.cx())
    }
}

#[test]
fn tick_panic_at_on_end_of_a_readable() {
    let mut lp = guarded();
    let log = Log::default();
    let (to, all) = keep(&mut lp, false, 100);
    let from = lp.open_readable(ReadableOptions::new(), Quiet, TickAtEnd).unwrap();
    lp.pipe(from, to, done(&log)).unwrap();
    let _ = lp.readable(from).push("all");
    lp.readable(from).push_end();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(&all.borrow()[..], b"all");
    assert_eq!(log.lines(), ["done"]);
}

#[test]
fn tick_panic_at_on_finish_of_a_writable() {
    let mut lp = guarded();
    let log = Log::default();
    let all = Kept::default();
    let to = lp
        .open_writable(WritableOptions::new(), Keep { all: all.clone(), later: false }, TickAtEnd)
        .unwrap();
    let from = quiet(&mut lp);
    lp.pipe(from, to, done(&log)).unwrap();
    let _ = lp.readable(from).push("all");
    lp.readable(from).push_end();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["done"]);
}

#[test]
fn tick_panic_at_on_end_of_a_socket() {
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new().end(|s| boom(&mut s.cx())));
    let (to, all) = keep(&mut lp, false, 100);
    lp.pipe(s, to, done(&log)).unwrap();
    write_all(&c, b"all");
    c.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.timer(Duration::from_millis(300), |cx, _| cx.stop());
    lp.run().unwrap();
    assert_eq!(&all.borrow()[..], b"all");
    assert_eq!(log.lines(), ["done"], "after 300 ms");
}

#[test]
fn tick_panic_at_on_finish_of_a_socket() {
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new().finish(|s| boom(&mut s.cx())));
    let from = quiet(&mut lp);
    lp.pipe(from, s, done(&log)).unwrap();
    let _ = lp.readable(from).push("all");
    lp.readable(from).push_end();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.timer(Duration::from_millis(300), |cx, _| cx.stop());
    lp.run().unwrap();
    assert_eq!(read_to_end(&c), b"all");
    assert_eq!(log.lines(), ["done"], "after 300 ms");
}

struct FlushTick;

impl Transform for FlushTick {
    fn transform(&mut self, _: &mut Cx<'_>, c: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
        out.extend_from_slice(c);
        Ok(())
    }
    fn flush(&mut self, cx: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        boom(cx);
        out.extend_from_slice(b"!");
        Ok(())
    }
}

#[test]
fn tick_panic_at_flush() {
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new());
    let (to, all) = keep(&mut lp, false, 100);
    lp.pipeline(s, vec![Box::new(FlushTick)], to, done(&log)).unwrap();
    write_all(&c, b"all");
    c.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.timer(Duration::from_millis(300), |cx, _| cx.stop());
    lp.run().unwrap();
    assert_eq!(&all.borrow()[..], b"all!");
    assert_eq!(log.lines(), ["done"], "after 300 ms");
}
