//! libuv's own tests of the loop's metrics. The numbers are those of the table in `tests/README.md`.
#![cfg(unix)]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tidegate::Phase;
use tidegate::event::Interest;
use tidegate::prelude::*;

use crate::support::*;
use crate::watched::{drain, file};

const MS: Duration = Duration::from_millis(1);

#[test]
fn libuv_67_metrics_info_check() {
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    lp.watch(file(ours), Interest::READABLE, |_, _, source, ready| {
        drain(source, ready);
    })
    .unwrap();
    (&theirs).write_all(b"x").unwrap();
    lp.run_nowait().unwrap();
    let m = lp.metrics();
    assert_eq!((m.turns, m.events, m.events_waiting), (1, 1, 1));
    (&theirs).write_all(b"x").unwrap();
    lp.run_once().unwrap();
    let m = lp.metrics();
    assert_eq!((m.turns, m.events, m.events_waiting, m.blocking_polls), (2, 2, 1, 1));
    assert_eq!(m.turn_lengths.count(), 2);
}

/// Time in the poller is idle; time in callbacks is not, and shows in the histogram of
/// turns.
#[test]
fn libuv_67_metrics_idle_time() {
    let mut lp = guarded();
    let start = Instant::now();
    lp.timer(MS * 20, |cx, _| {
        let start = Instant::now();
        while start.elapsed() < MS * 20 {
            std::hint::spin_loop();
        }
        cx.timer(Duration::ZERO, |_, _| {});
    });
    lp.run().unwrap();
    let (m, wall) = (lp.metrics(), start.elapsed());
    assert!(m.idle >= MS * 19, "{:?}", m.idle);
    assert!(m.idle + MS * 19 <= wall, "{:?} of {wall:?}", m.idle);
    assert!(m.turn_lengths.quantile(1.0) >= MS * 20, "{:?}", m.turn_lengths);
}

/// Phases and calls are measured while somebody watches, and only then.
#[test]
fn phases_are_measured_with_an_observer() {
    let mut lp = guarded();
    let slow = |_: &mut Cx<'_>, _| {
        let start = Instant::now();
        while start.elapsed() < MS * 3 {
            std::hint::spin_loop();
        }
    };
    lp.timer(Duration::ZERO, slow);
    lp.run().unwrap();
    assert!(lp.metrics().longest_call.is_zero());
    lp.observe(Trace::default());
    lp.timer(MS, slow);
    lp.run().unwrap();
    let m = lp.metrics();
    assert!(m.longest_call >= MS * 3 && m.phase(Phase::Timers) >= MS * 3, "{m:?}");
    assert!(m.phase(Phase::Ready) < MS * 3, "{m:?}");
}
