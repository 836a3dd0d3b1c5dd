//! An error ends the run, and is what the run returns.

use std::io::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate::prelude::*;

use crate::support::*;

#[test]
fn the_run_returns_it_and_the_next_one_goes_on() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    lp.after(Duration::ZERO, move |cx| {
        l.add("first");
        let l = l.clone();
        cx.after(Duration::from_millis(1), move |_| l.add("second"));
        cx.stop_with(Error::new(ErrorKind::NotFound, "no tide"));
    });
    let e = lp.run().unwrap_err();
    assert_eq!((e.kind(), e.to_string()), (ErrorKind::NotFound, "no tide".into()));
    assert!(lp.was_stopped());
    assert_eq!(log.lines(), ["first"]);
    lp.run().unwrap();
    assert!(!lp.was_stopped());
    assert_eq!(log.lines(), ["first", "second"]);
}

/// It says when it is dropped.
#[derive(Debug)]
struct Second(Arc<AtomicBool>);

impl Drop for Second {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Second {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("second")
    }
}

impl std::error::Error for Second {}

/// The rest of the turn runs, as after `stop`. The first of several errors is returned; the others
/// are dropped, but not inside the call.
#[test]
fn the_first_of_several() {
    let mut lp = guarded();
    let dropped = Arc::new(AtomicBool::default());
    let d = dropped.clone();
    lp.next_tick(|cx| cx.stop_with("first"));
    lp.next_tick(move |cx| {
        cx.stop_with(Second(d.clone()));
        assert!(!d.load(Ordering::Relaxed));
    });
    assert_eq!(lp.run().unwrap_err().to_string(), "first");
    lp.run().unwrap();
    assert!(dropped.load(Ordering::Relaxed));
}

/// Each way to run returns it, also if it was called outside of a run.
#[test]
fn every_way_to_run() {
    let mut lp = guarded();
    let ways: [fn(&mut Loop) -> std::io::Result<()>; 4] = [
        Loop::run,
        |lp| lp.run_once().map(drop),
        |lp| lp.run_nowait().map(drop),
        |lp| lp.run_phase().map(drop),
    ];
    for run in ways {
        lp.cx().stop_with("outside");
        assert_eq!(run(&mut lp).unwrap_err().to_string(), "outside");
        run(&mut lp).unwrap();
    }
    for run in &ways[1..3] {
        lp.after(Duration::ZERO, |cx| cx.stop_with("inside"));
        assert_eq!(run(&mut lp).unwrap_err().to_string(), "inside");
    }
}

/// A panic comes first; the next run returns the error.
#[test]
fn beside_a_panic() {
    let mut lp = guarded();
    lp.next_tick(|cx| {
        cx.stop_with("failed");
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    assert_eq!(lp.run().unwrap_err().to_string(), "failed");
    lp.run().unwrap();
}
