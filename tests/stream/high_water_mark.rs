//! The high-water mark of a sink: `Full` pauses the source, and the drain reaches the handler.

use tidegate::prelude::*;
use tidegate::stream::*;

use crate::pipe_ends::*;
use crate::support::*;

// ---- resume by the user while the pipe is full
#[test]
fn resuming_the_source_of_a_full_pipe_changes_nothing() {
    let mut lp = guarded();
    let (to, _) = keep(&mut lp, true, 4);
    struct Endless;
    impl Source for Endless {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            let _ = r.push(vec![0; 4096]);
            Ok(())
        }
    }
    let log = Log::default();
    let from = lp.open_readable(ReadableOptions::new(), Endless, ()).unwrap();
    lp.pipe(from, to, done(&log)).unwrap();
    settle(&mut lp);
    println!("before: {}", lp.writable(to).buffered());
    lp.readable(from).resume();
    for _ in 0..100 {
        lp.run_nowait().unwrap();
    }
    println!("after: {} {:?}", lp.writable(to).buffered(), log.lines());
    assert!(log.lines().is_empty() && lp.writable(to).buffered() < 100_000);
}

// ---- on_drain of a sink's handler
#[test]
fn the_handler_of_a_sink_gets_its_drain() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let (c, s) = accepted(&mut lp, true, On::new().drain(move |_| l.add("drain")));
    let from = quiet(&mut lp);
    lp.pipe(from, s, |_, _| {}).unwrap();
    assert_eq!(lp.socket(s).write(vec![0; 20 << 20]), Flow::Full);
    let reading = std::thread::spawn(move || {
        use std::io::Read;
        let mut b = vec![0; 20 << 20];
        (&c).read_exact(&mut b).unwrap();
        c
    });
    turn_until(&mut lp, |lp| lp.socket(s).buffered() == 0);
    let _c = reading.join().unwrap();
    settle(&mut lp);
    assert_eq!(log.lines(), ["drain"]);
}

// ---- limit below the mark
#[test]
fn a_write_limit_below_the_mark_is_the_mark() {
    let mut lp =
        guard(Loop::builder().limits(StreamLimits::new().write_limit(16 << 10)).build().unwrap());
    let log = Log::default();
    let all = Kept::default();
    let to = lp.open_writable(WritableOptions::new(), Keep { all, later: true }, ()).unwrap();
    let from = quiet(&mut lp);
    lp.pipe(from, to, done(&log)).unwrap();
    for _ in 0..8 {
        let _ = lp.readable(from).push(vec![0; 4096]);
        settle(&mut lp);
    }
    settle(&mut lp);
    assert!(log.lines().is_empty(), "{:?}", log.lines());
}
