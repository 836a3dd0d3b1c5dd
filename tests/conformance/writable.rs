//! Rules of Node's writable streams, W1 to W18 and X1 to X5, on streams of the user's own.
//! Where tidegate differs, `tests/README.md` says why.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use bytes::Bytes;
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

/// What a sink does with each write.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    Now,
    /// The test says when.
    ByHand,
    /// After a millisecond.
    Soon,
    /// Fails the first write, inside it.
    Fail,
    Panic,
}

/// Logs what it gets.
struct Tap {
    log: Log,
    pace: Pace,
}

impl Sink for Tap {
    fn write(&mut self, w: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError> {
        let text = |b: &Bytes| {
            let long = || format!("{} bytes", b.len());
            if b.len() > 20 { long() } else { String::from_utf8_lossy(b).into_owned() }
        };
        let lines: Vec<_> = chunks.iter().map(text).collect();
        self.log.add(format!("sink {}", lines.join("|")));
        match self.pace {
            Pace::Now => return Ok(Progress::Done),
            Pace::ByHand => {}
            Pace::Soon => {
                let key = w.key();
                w.timer(Duration::from_millis(1), move |cx, _| {
                    cx.writable(key).written(Ok(())).unwrap();
                });
            }
            Pace::Fail => return Err("no space".into()),
            Pace::Panic => resume_unwind(Box::new("on purpose")),
        }
        Ok(Progress::Later)
    }

    fn finish(&mut self, _: &mut WritableCx<'_>) -> Result<Progress, BoxError> {
        self.log.add("sink finish");
        Ok(Progress::Done)
    }

    fn destroy(&mut self, _: &mut Cx<'_>, result: Result<(), &StreamError>) {
        self.log.add(match result {
            Ok(()) => "sink destroy".into(),
            Err(e) => format!("sink destroy: {e}"),
        });
    }
}

struct Told(Log);

impl WriteHandler for Told {
    fn on_drain(&mut self, w: &mut WritableCx<'_>) {
        self.0.add(format!("drain at {}", w.buffered()));
    }
    fn on_written(&mut self, _: &mut WritableCx<'_>, id: u64, result: Result<(), &StreamError>) {
        self.0.add(match result {
            Ok(()) => format!("written {id}"),
            Err(e) => format!("not written {id}: {e}"),
        });
    }
    fn on_finish(&mut self, _: &mut WritableCx<'_>) {
        self.0.add("finish");
    }
    fn on_close(&mut self, _: &mut Cx<'_>, close: StreamClose) {
        self.0.add(match close.result {
            Ok(()) => "close".into(),
            Err(e) => format!("close: {e}"),
        });
    }
}

fn tap(lp: &mut Loop, pace: Pace, options: WritableOptions) -> (WritableKey, Log) {
    let log = Log::default();
    let sink = Tap { log: log.clone(), pace };
    (lp.open_writable(options, sink, Told(log.clone())).unwrap(), log)
}

fn mark(bytes: usize) -> WritableOptions {
    WritableOptions::new().high_water_mark(bytes)
}

/// Every turn until nothing is due.
fn settle(lp: &mut Loop) {
    while lp.run_nowait().unwrap() && lp.backend_timeout() == Some(Duration::ZERO) {}
}

#[test]
fn w01_a_write_is_accepted_unless_ending_or_destroyed() {
    let mut lp = guarded();
    let (key, _) = tap(&mut lp, Pace::ByHand, mark(2));
    for n in 1..=10 {
        assert_ne!(lp.writable(key).write("abc"), Flow::Closed);
        assert_eq!(lp.writable(key).buffered(), 3 * n);
    }
    lp.writable(key).end();
    assert_eq!(lp.writable(key).write("late"), Flow::Closed);
    assert_eq!(lp.writable(key).buffered(), 30);
}

/// Ours: the sink is called from the pending phase, never inside the call.
#[test]
fn w02_the_sink_is_called_in_the_pending_phase() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::Now, mark(10));
    assert_eq!(lp.writable(key).write("abc"), Flow::Ready);
    assert!(log.lines().is_empty());
    settle(&mut lp);
    assert_eq!(log.lines(), ["sink abc"]);
}

/// Ours: so the answer goes by what is queued, this write included.
#[test]
fn w03_equality_is_full() {
    let mut lp = guarded();
    let (key, _) = tap(&mut lp, Pace::ByHand, mark(4));
    assert_eq!(lp.writable(key).write("abc"), Flow::Ready);
    assert!(!lp.writable(key).needs_drain());
    assert_eq!(lp.writable(key).write("d"), Flow::Full);
    assert!(lp.writable(key).needs_drain());
}

#[test]
fn w04_a_mark_of_0_is_always_full_and_an_empty_write_goes_by_the_length() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::Now, mark(0));
    assert_eq!(lp.writable(key).write(""), Flow::Ready, "nothing is queued");
    assert_eq!(lp.writable(key).write("a"), Flow::Full);
    assert_eq!(lp.writable(key).write(""), Flow::Full);
    settle(&mut lp);
    assert_eq!(log.lines(), ["sink a", "drain at 0"]);
}

/// The next bytes are with the sink when a completion comes; the drain comes before the
/// completion of the write that brought it.
#[test]
fn w05_the_next_write_then_the_drain_then_the_completion() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::ByHand, mark(4));
    assert_eq!(lp.writable(key).write_id("abcd", 1), Flow::Full);
    settle(&mut lp);
    assert_eq!(lp.writable(key).write_id("ef", 2), Flow::Full);
    lp.writable(key).written(Ok(())).unwrap();
    settle(&mut lp);
    lp.writable(key).written(Ok(())).unwrap();
    settle(&mut lp);
    let expected = ["sink abcd", "sink ef", "written 1", "drain at 0", "written 2"];
    assert_eq!(log.lines(), expected);
}

#[test]
fn w06_drain_only_at_zero_once_and_never_after_end() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::ByHand, mark(2).gather(1));
    for piece in [vec![b'a'; 2000], vec![b'b'; 2000]] {
        assert_eq!(lp.writable(key).write(piece), Flow::Full);
    }
    for _ in 0..2 {
        settle(&mut lp);
        lp.writable(key).written(Ok(())).unwrap();
    }
    settle(&mut lp);
    assert_eq!(log.lines(), ["sink 2000 bytes", "sink 2000 bytes", "drain at 0"]);
    assert_eq!(lp.writable(key).write("cd"), Flow::Full);
    lp.writable(key).end();
    settle(&mut lp);
    lp.writable(key).written(Ok(())).unwrap();
    settle(&mut lp);
    assert_eq!(log.lines().iter().filter(|l| l.starts_with("drain")).count(), 1);
    assert!(log.has("finish"));
}

#[test]
fn w07_completions_in_order_each_once() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::Soon, mark(1 << 20).gather(2));
    for id in 0..100 {
        assert_eq!(lp.writable(key).write_id(vec![1; 1500], id), Flow::Ready);
    }
    lp.writable(key).end();
    lp.run().unwrap();
    let told: Vec<_> = log.lines().into_iter().filter(|l| l.starts_with("written")).collect();
    assert!(told.iter().cloned().eq((0..100).map(|id| format!("written {id}"))), "{told:?}");
}

/// All that is queued goes down at once; small writes are one piece. Or write by write.
#[test]
fn w08_what_is_queued_is_gathered() {
    let mut lp = guarded();
    let big = || Bytes::from(vec![0; 3000]);
    for (gather, expected) in [
        (64, vec!["sink small|3000 bytes|3000 bytes"]),
        (2, vec!["sink small|3000 bytes", "sink 3000 bytes"]),
        (1, vec!["sink sma", "sink ll", "sink 3000 bytes", "sink 3000 bytes"]),
    ] {
        let (key, log) = tap(&mut lp, Pace::Now, mark(100).gather(gather));
        let _ = lp.writable(key).write("sma");
        let _ = lp.writable(key).write("ll");
        let _ = lp.writable(key).write(big());
        let _ = lp.writable(key).write(big());
        settle(&mut lp);
        assert_eq!(log.lines()[..expected.len()], expected);
    }
}

/// A sink that takes chunks singly gets each write as it was made, of whatever size: from a
/// user, with an id or without, corked or not, and from a pipe.
#[test]
fn w08_each_write_is_a_chunk_of_its_own_for_a_sink_that_takes_them_singly() {
    let mut lp = guarded();
    for pace in [Pace::Now, Pace::Soon] {
        let (key, log) = tap(&mut lp, pace, mark(100).gather(1));
        lp.writable(key).cork();
        let _ = lp.writable(key).write("a");
        let _ = lp.writable(key).write_id(Bytes::from("bc"), 1);
        let _ = lp.writable(key).write("");
        let _ = lp.writable(key).write_id("", 2);
        let _ = lp.writable(key).write(vec![b'd'; 1023]);
        let _ = lp.writable(key).write("e");
        assert_eq!(lp.writable(key).buffered(), 1027);
        lp.writable(key).end();
        lp.run().unwrap();
        let chunks: Vec<_> = log.lines().into_iter().filter(|l| l.starts_with("sink ")).collect();
        let expected = ["sink a", "sink bc", "sink 1023 bytes", "sink e", "sink finish"];
        assert_eq!(chunks[..5], expected);
        let at = |line: &str| log.lines().iter().position(|l| l == line).unwrap();
        assert!(at("sink bc") < at("written 1") && at("written 1") < at("written 2"));
    }
}

#[test]
fn w09_cork_nests_counts_and_end_flushes() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::Now, mark(4));
    let mut w = lp.writable(key);
    w.cork();
    w.cork();
    assert_eq!(w.write("abcd"), Flow::Full, "corked bytes count");
    w.uncork();
    settle(&mut lp);
    assert!(log.lines().is_empty());
    lp.writable(key).uncork();
    lp.writable(key).uncork(); // a surplus one does nothing
    settle(&mut lp);
    assert_eq!(log.lines(), ["sink abcd", "drain at 0"]);
    lp.writable(key).cork();
    let _ = lp.writable(key).write("ef");
    lp.writable(key).end();
    settle(&mut lp);
    assert_eq!(log.lines()[2..5], ["sink ef", "sink finish", "finish"]);
}

/// W11, W12: the end comes after every write and its completion; then the sink finishes;
/// then the stream closes by itself. W15: a second end says nothing.
#[test]
fn w11_w12_w15_the_end_of_a_stream() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::Soon, mark(100));
    assert_eq!(lp.writable(key).write_id("last", 1), Flow::Ready);
    lp.writable(key).end();
    lp.writable(key).end();
    assert_eq!(lp.writable(key).write("x"), Flow::Closed);
    lp.run().unwrap();
    let expected = ["sink last", "written 1", "sink finish", "finish", "sink destroy", "close"];
    assert_eq!(log.lines(), expected);
    lp.writable(key).end();
    assert!(lp.writable(key).state().is_err());
    assert_eq!(handles(&lp), 0);
}

/// W5, W12: the sink finishes when every completion came, also if there are more of them than one
/// dispatch tells; and not if the last of them destroys the stream.
#[test]
fn w12_the_sink_finishes_after_every_completion() {
    struct Last(Log, u64);
    impl WriteHandler for Last {
        fn on_written(&mut self, w: &mut WritableCx<'_>, id: u64, _: Result<(), &StreamError>) {
            self.0.add(format!("written {id}"));
            if id == self.1 {
                w.destroy();
            }
        }
    }
    for (many, destroyed_at) in [(1, None), (3, None), (2_500, None), (3, Some(3))] {
        for pace in [Pace::Now, Pace::Soon] {
            let mut lp = guarded();
            let log = Log::default();
            let sink = Tap { log: log.clone(), pace };
            let handler = Last(log.clone(), destroyed_at.unwrap_or(u64::MAX));
            let key = lp.open_writable(mark(1), sink, handler).unwrap();
            for id in 1..=many {
                assert_eq!(lp.writable(key).write_id("a", id), Flow::Full);
            }
            lp.writable(key).end();
            lp.run().unwrap();
            let mut expected: Vec<_> = (1..=many).map(|id| format!("written {id}")).collect();
            expected.insert(0, log.lines()[0].clone());
            expected.push(match destroyed_at {
                None => "sink finish".into(),
                Some(_) => "sink destroy: was destroyed".into(),
            });
            assert_eq!(log.lines()[..expected.len()], expected);
            assert_eq!(log.has("sink finish"), destroyed_at.is_none());
        }
    }
}

/// W13, W14: refused by the answer, told to nobody, and nothing is destroyed.
#[test]
fn w13_w14_a_late_write_is_refused_by_its_answer() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::Now, mark(100));
    assert_eq!(lp.writable(key).write_id("last", 1), Flow::Ready);
    lp.writable(key).end();
    assert_eq!(lp.writable(key).write_id("late", 2), Flow::Closed);
    lp.run().unwrap();
    assert!(log.has("finish") && log.has("close") && !log.has("written 2"));
    assert_eq!(lp.writable(key).write_id("gone", 3), Flow::Closed);
    lp.run().unwrap();
    assert!(!log.lines().iter().any(|l| l.contains('3')));
}

#[test]
fn w16_a_failing_sink_fails_everything_with_one_error() {
    let mut lp = guarded();
    for later in [false, true] {
        let pace = if later { Pace::ByHand } else { Pace::Fail };
        let (key, log) = tap(&mut lp, pace, mark(2).gather(1));
        for id in 1..=3 {
            assert_eq!(lp.writable(key).write_id(vec![0; 2000], id), Flow::Full);
        }
        lp.writable(key).end();
        settle(&mut lp);
        if later {
            lp.writable(key).written(Err("no space".into())).unwrap();
        }
        lp.run().unwrap();
        let expected = [
            "sink 2000 bytes",
            "sink destroy: failed: no space",
            "not written 1: failed: no space",
            "not written 2: failed: no space",
            "not written 3: failed: no space",
            "close: failed: no space",
        ];
        assert_eq!(log.lines(), expected);
    }
}

#[test]
fn w17_completing_twice_is_an_error() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::ByHand, mark(100));
    assert_eq!(lp.writable(key).written(Ok(())), Err(NotWriting), "nothing was written");
    let _ = lp.writable(key).write("a");
    settle(&mut lp);
    assert_eq!(lp.writable(key).written(Ok(())), Ok(()));
    assert_eq!(lp.writable(key).written(Ok(())), Err(NotWriting));
    assert_eq!(lp.writable(key).written(Err("late".into())), Err(NotWriting));
    assert_eq!(log.lines(), ["sink a"]);

    /// Completes its write, and says `Done` as well.
    struct Twice;
    impl Sink for Twice {
        fn write(&mut self, w: &mut WritableCx<'_>, _: &[Bytes]) -> Result<Progress, BoxError> {
            w.written(Ok(())).unwrap();
            Ok(Progress::Done)
        }
    }
    let log = Log::default();
    let key = lp.open_writable(mark(1), Twice, Told(log.clone())).unwrap();
    let _ = lp.writable(key).write("a");
    lp.run().unwrap();
    assert_eq!(log.lines().last().unwrap(), "close: completed one write twice");
}

#[test]
fn w18_needs_drain_not_once_ending_or_destroyed() {
    let mut lp = guarded();
    for destroy in [false, true] {
        let (key, _) = tap(&mut lp, Pace::ByHand, mark(1));
        let _ = lp.writable(key).write("a");
        assert!(lp.writable(key).needs_drain());
        if destroy {
            lp.writable(key).destroy()
        } else {
            lp.writable(key).end()
        }
        assert!(!lp.writable(key).needs_drain());
    }
}

/// X1, X5: the first end wins; the sink lets go before the close comes, in a later phase;
/// what fails afterwards is not told. X3: what is with the sink fails with the rest, and
/// its late completion is refused.
#[test]
fn x01_x03_x05_destroy() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::ByHand, mark(100).gather(1));
    let _ = lp.writable(key).write_id(vec![0; 2000], 1);
    let _ = lp.writable(key).write_id(vec![0; 2000], 2);
    settle(&mut lp);
    lp.writable(key).destroy();
    lp.writable(key).fail("too late");
    assert_eq!(log.lines(), ["sink 2000 bytes"], "nothing inside the call");
    assert_eq!(lp.writable(key).written(Ok(())), Err(NotWriting));
    lp.run().unwrap();
    let expected = [
        "sink destroy: was destroyed",
        "not written 1: was destroyed",
        "not written 2: was destroyed",
        "close: was destroyed",
    ];
    assert_eq!(log.lines()[1..], expected);
}

/// X2: nothing but the close comes after a destroy, also from a callback.
#[test]
fn x02_nothing_after_destroy() {
    struct DestroysAtDrain(Log);
    impl WriteHandler for DestroysAtDrain {
        fn on_drain(&mut self, w: &mut WritableCx<'_>) {
            self.0.add("drain");
            w.destroy();
        }
        fn on_finish(&mut self, _: &mut WritableCx<'_>) {
            self.0.add("finish");
        }
        fn on_close(&mut self, _: &mut Cx<'_>, _: StreamClose) {
            self.0.add("close");
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let sink = Tap { log: Log::default(), pace: Pace::Now };
    let key = lp.open_writable(mark(1), sink, DestroysAtDrain(log.clone())).unwrap();
    let _ = lp.writable(key).write("a");
    lp.run().unwrap();
    assert_eq!(log.lines(), ["drain", "close"]);
}

/// Law 8: a producer that ignores `Flow` meets the limit; law 10: a panic of the sink.
#[test]
fn limits_and_panics_end_a_stream() {
    let mut lp = guarded();
    let (key, log) = tap(&mut lp, Pace::ByHand, mark(1).write_limit(10_000));
    let mut writes = 0;
    while lp.writable(key).write(vec![0; 4000]) != Flow::Closed {
        writes += 1;
    }
    assert_eq!(writes, 3, "the cap is passed by one write at most");
    lp.run().unwrap();
    let close = "close: queued 12000 bytes, more than the limit of 10000";
    assert_eq!(log.lines().last().unwrap(), close);

    let (key, log) = tap(&mut lp, Pace::Panic, mark(100));
    let _ = lp.writable(key).write_id("a", 1);
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    let panicked = "ended by a panic of its callback";
    assert_eq!(log.lines()[2], format!("not written 1: {panicked}"));
    assert_eq!(log.lines()[3], format!("close: {panicked}"));
}
