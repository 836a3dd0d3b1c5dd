//! Errors of the ends of a pipe: which one is reported, to whom, and that none is silent.

use bytes::{Bytes, BytesMut};
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::pipe_ends::*;
use crate::support::*;

// ---- flush refused by an ended sink
struct Tail;

impl Transform for Tail {
    fn transform(&mut self, _: &mut Cx<'_>, c: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
        out.extend_from_slice(c);
        Ok(())
    }
    fn flush(&mut self, _: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        out.extend_from_slice(b"tail");
        Ok(())
    }
}

#[test]
fn a_flush_that_an_ended_sink_refuses_is_no_success() {
    let mut lp = guarded();
    let log = Log::default();
    let (to, all) = keep(&mut lp, true, 100);
    let from = quiet(&mut lp);
    lp.pipeline(from, vec![Box::new(Tail)], to, done(&log)).unwrap();
    let _ = lp.readable(from).push("head ");
    settle(&mut lp);
    lp.writable(to).end(); // the sink still has "head " under way
    lp.readable(from).push_end();
    settle(&mut lp);
    lp.writable(to).written(Ok(())).unwrap();
    lp.run().unwrap();
    assert!(
        log.lines() != ["done"] || &all.borrow()[..] == b"head tail",
        "{:?} {:?}",
        log.lines(),
        String::from_utf8_lossy(&all.borrow())
    );
}

// ---- unhandled
#[test]
fn a_streams_error_that_the_pipe_tells_is_handled() {
    let mut lp = guarded();
    let log = Log::default();
    let (to, _) = keep(&mut lp, false, 4);
    let from = quiet(&mut lp);
    lp.pipe(from, to, done(&log)).unwrap();
    lp.readable(from).fail("no disk");
    lp.run().unwrap();
    assert_eq!(log.lines(), ["the pipe's source failed: no disk"]);
    assert_eq!(lp.metrics().unhandled_errors, 0, "the pipe told it");
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn an_error_after_the_pipe_is_not_silent() {
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new());
    let from = quiet(&mut lp);
    lp.pipe(from, s, done(&log)).unwrap();
    lp.readable(from).push_end();
    turn_until(&mut lp, |_| log.has("done"));
    lp.socket(s).resume();
    reset(c);
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
    assert_eq!(lp.metrics().unhandled_errors, 1, "ECONNRESET, told to nobody");
}

// ---- the sink hears the cause
struct Hear(Log);

impl Sink for Hear {
    fn write(&mut self, _: &mut WritableCx<'_>, _: &[Bytes]) -> Result<Progress, BoxError> {
        Ok(Progress::Done)
    }
    fn destroy(&mut self, _: &mut Cx<'_>, r: Result<(), &StreamError>) {
        self.0.add(match r {
            Ok(()) => "ok".into(),
            Err(e) => e.to_string(),
        })
    }
}

#[test]
fn p02_the_others_are_destroyed_with_the_same_error() {
    let mut lp = guarded();
    let log = Log::default();
    let to = lp.open_writable(WritableOptions::new(), Hear(log.clone()), ()).unwrap();
    let from = quiet(&mut lp);
    lp.pipe(from, to, |_, _| {}).unwrap();
    lp.readable(from).fail("no disk");
    lp.run().unwrap();
    assert_eq!(log.lines(), ["failed: no disk"]);
}

// 14 read beyond the limit
#[test]
fn a_pull_beyond_the_limit_is_the_end() {
    struct Endless;
    impl Source for Endless {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            let _ = r.push(vec![0; 100]);
            Ok(())
        }
    }
    let mut lp = guarded();
    let from = lp
        .open_readable(
            ReadableOptions::new().pull(true).high_water_mark(500).read_limit(1000),
            Endless,
            (),
        )
        .unwrap();
    settle(&mut lp);
    assert_eq!(lp.readable(from).read(1000), None, "not that many wait by themselves");
    settle(&mut lp);
    assert_eq!(lp.readable(from).read(1000).unwrap().len(), 1000);
    assert_eq!(lp.readable(from).read(1100), None);
    assert!(lp.readable(from).state().is_err(), "it would never come");
}
