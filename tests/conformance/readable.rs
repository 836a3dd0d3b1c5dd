//! Rules of Node's readable streams, R1 to R11, on streams of the user's own. Where tidegate
//! differs, `tests/README.md` says why.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use Answer::*;
use bytes::Bytes;
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

/// What a source does when it is asked.
enum Answer {
    Push(&'static str),
    /// Pushes this after a millisecond.
    Later(&'static str),
    End,
    Fail,
    Panic,
}

struct Script {
    log: Log,
    answers: VecDeque<Answer>,
}

impl Source for Script {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        self.log.add("asked");
        match self.answers.pop_front() {
            Some(Answer::Push(text)) => {
                let _ = r.push(text);
            }
            Some(Answer::Later(text)) => {
                let key = r.key();
                r.timer(Duration::from_millis(1), move |cx, _| {
                    let _ = cx.readable(key).push(text);
                });
            }
            Some(Answer::End) => r.push_end(),
            Some(Answer::Fail) => return Err("no disk".into()),
            Some(Answer::Panic) => resume_unwind(Box::new("on purpose")),
            None => {}
        }
        Ok(())
    }

    fn destroy(&mut self, _: &mut Cx<'_>, result: Result<(), &StreamError>) {
        self.log.add(match result {
            Ok(()) => "source destroy".into(),
            Err(e) => format!("source destroy: {e}"),
        });
    }
}

/// Logs its callbacks; `pause_at` pauses inside `on_data` of that chunk.
struct Told {
    log: Log,
    pause_at: &'static str,
}

impl ReadHandler for Told {
    fn on_data(&mut self, r: &mut ReadableCx<'_>, chunk: Bytes) {
        let text = String::from_utf8_lossy(&chunk).into_owned();
        if text == self.pause_at {
            r.pause();
        }
        self.log.add(format!("data {text}"));
    }
    fn on_readable(&mut self, r: &mut ReadableCx<'_>) {
        self.log.add(format!("readable {}", r.buffered()));
    }
    fn on_end(&mut self, _: &mut ReadableCx<'_>) {
        self.log.add("end");
    }
    fn on_close(&mut self, _: &mut Cx<'_>, close: StreamClose) {
        self.log.add(match close.result {
            Ok(()) => "close".into(),
            Err(e) => format!("close: {e}"),
        });
    }
}

fn script(
    lp: &mut Loop,
    options: ReadableOptions,
    pause_at: &'static str,
    answers: impl IntoIterator<Item = Answer>,
) -> (ReadableKey, Log) {
    let log = Log::default();
    let source = Script { log: log.clone(), answers: answers.into_iter().collect() };
    let told = Told { log: log.clone(), pause_at };
    (lp.open_readable(options, source, told).unwrap(), log)
}

fn mark(bytes: usize) -> ReadableOptions {
    ReadableOptions::new().high_water_mark(bytes)
}

fn settle(lp: &mut Loop) {
    while lp.run_nowait().unwrap() && lp.backend_timeout() == Some(Duration::ZERO) {}
}

/// R1: it flows with the next turn, not inside the call, unless it is paused till then. R8:
/// the end comes after the last byte, once; then the stream closes by itself.
#[test]
fn r01_r08_flow_begins_later_and_ends_after_the_last_byte() {
    let mut lp = guarded();
    let (_, log) = script(&mut lp, mark(1), "", [Push("ab"), Later("c"), End]);
    assert!(log.lines().is_empty());
    lp.run().unwrap();
    let expected =
        ["asked", "data ab", "asked", "data c", "asked", "end", "source destroy", "close"];
    assert_eq!(log.lines(), expected);
    assert_eq!(handles(&lp), 0);

    let (key, log) = script(&mut lp, mark(1), "", [Push("ab"), End]);
    lp.readable(key).pause();
    settle(&mut lp);
    assert!(log.lines().is_empty(), "paused: nothing is asked for");
}

#[test]
fn r02_push_answers_by_what_waits() {
    let mut lp = guarded();
    let (key, _) = script(&mut lp, mark(4), "", []);
    lp.readable(key).pause();
    assert_eq!(lp.readable(key).push(""), Flow::Ready);
    assert_eq!(lp.readable(key).push("abc"), Flow::Ready);
    assert_eq!(lp.readable(key).push("d"), Flow::Full);
    assert_eq!(lp.readable(key).push("e"), Flow::Full, "stored all the same");
    assert_eq!(lp.readable(key).buffered(), 5);
}

/// Ours: a push after the end is refused by its answer and destroys nothing. An empty push
/// is no event.
#[test]
fn r03_push_after_the_end_is_refused() {
    let mut lp = guarded();
    let (key, log) = script(&mut lp, mark(10), "", []);
    let _ = lp.readable(key).push("");
    let _ = lp.readable(key).push("a");
    lp.readable(key).push_end();
    lp.readable(key).push_end();
    assert_eq!(lp.readable(key).push("b"), Flow::Closed);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["data a", "end", "source destroy", "close"]);
}

#[test]
fn r04_the_source_is_asked_once_until_it_pushes_and_not_beyond_the_mark() {
    let mut lp = guarded();
    let (key, log) = script(&mut lp, mark(100), "", []);
    for _ in 0..3 {
        settle(&mut lp);
        lp.readable(key).resume();
    }
    assert_eq!(log.lines(), ["asked"], "it has not answered");
    lp.readable(key).push_end();
    lp.run().unwrap();
    assert_eq!(log.lines().iter().filter(|l| *l == "asked").count(), 1);

    let pull = mark(4).pull(true);
    let (key, log) = script(&mut lp, pull, "", [Push("ab"), Push("cd"), Push("ef")]);
    settle(&mut lp);
    assert_eq!(log.lines().iter().filter(|l| *l == "asked").count(), 2, "4 bytes wait");
    assert_eq!(lp.readable(key).read(1).unwrap(), "a");
    settle(&mut lp);
    assert_eq!(lp.readable(key).buffered(), 5);

    // A mark of 0: nothing is read ahead, it is asked only when nothing waits.
    let (key, _) = script(&mut lp, mark(0).pull(true), "", [Push("ab"), Push("cd")]);
    settle(&mut lp);
    assert_eq!(lp.readable(key).read_all().unwrap(), "ab");
}

/// R5: no data after a pause, even if it waits already; going on comes later.
#[test]
fn r05_pause_is_immediate_and_resume_is_later() {
    let mut lp = guarded();
    let (key, log) = script(&mut lp, mark(100), "b", []);
    for chunk in ["a", "b", "c"] {
        let _ = lp.readable(key).push(chunk);
    }
    settle(&mut lp);
    assert_eq!(log.lines(), ["data a", "data b"]);
    lp.readable(key).resume();
    assert_eq!(log.lines().len(), 2);
    settle(&mut lp);
    assert_eq!(log.lines()[2], "data c");
}

/// R6: a reader that pulls gets calls for new bytes and the end, and no bytes, also after a
/// resume. R7: reading.
#[test]
fn r06_r07_pulling() {
    let mut lp = guarded();
    let (key, log) = script(&mut lp, mark(4).pull(true), "", []);
    let _ = lp.readable(key).push("abc");
    let _ = lp.readable(key).push("defg");
    lp.readable(key).resume();
    settle(&mut lp);
    assert_eq!(log.lines(), ["readable 7"]);
    let mut r = lp.readable(key);
    assert_eq!(r.read(0), None);
    assert_eq!(r.read(2).unwrap(), "ab", "a part of a chunk");
    assert_eq!(r.read(3).unwrap(), "cde", "of two chunks");
    assert_eq!(r.read(100), None, "fewer wait, and it is not the end");
    settle(&mut lp);
    assert_eq!(lp.readable(key).push(vec![b'x'; 20]), Flow::Ready, "the mark is 128 now");
    lp.readable(key).push_end();
    settle(&mut lp);
    assert_eq!(lp.readable(key).read(100).unwrap().len(), 22, "at the end: what is left");
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[lines.len() - 4..], ["readable 22", "end", "source destroy", "close"]);

    let (key, _) = script(&mut lp, mark(100).pull(true), "", []);
    let _ = lp.readable(key).push("ab");
    let _ = lp.readable(key).push("cd");
    assert_eq!(lp.readable(key).read_all().unwrap(), "abcd", "all, in one piece");
}

/// R8: bytes that nobody takes hold the end back; so does a pause.
#[test]
fn r08_no_end_before_the_last_byte() {
    let mut lp = guarded();
    for pull in [false, true] {
        let (key, log) = script(&mut lp, mark(100).pull(pull), "", []);
        let _ = lp.readable(key).push("a");
        lp.readable(key).push_end();
        if !pull {
            lp.readable(key).pause();
        }
        settle(&mut lp);
        assert!(!log.has("end"));
        if pull {
            drop(lp.readable(key).read(1))
        } else {
            lp.readable(key).resume()
        }
        lp.run().unwrap();
        assert!(log.has("end") && log.has("close"));
    }
}

#[test]
fn r09_unshift_until_the_end_was_told() {
    let mut lp = guarded();
    let (key, log) = script(&mut lp, mark(100), "", []);
    let _ = lp.readable(key).push("b");
    lp.readable(key).push_end();
    assert!(lp.readable(key).unshift("a"));
    lp.run().unwrap();
    assert_eq!(log.lines()[..3], ["data a", "data b", "end"]);
    assert!(!lp.readable(key).unshift("c"));
}

/// R11: leaving early destroys: what waits is dropped, no end comes.
#[test]
fn r11_leaving_early_destroys() {
    let mut lp = guarded();
    let (key, log) = script(&mut lp, mark(100), "a", []);
    let _ = lp.readable(key).push("a");
    let _ = lp.readable(key).push("b");
    settle(&mut lp);
    lp.readable(key).destroy();
    assert_eq!(lp.readable(key).push("c"), Flow::Closed);
    assert_eq!(lp.readable(key).read_all(), None);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["data a", "source destroy: was destroyed", "close: was destroyed"]);
    assert!(lp.readable(key).state().is_err());
}

#[test]
fn failures_limits_and_panics_of_a_source() {
    let mut lp = guarded();
    let (_, log) = script(&mut lp, mark(100), "", [Push("a"), Fail]);
    lp.run().unwrap();
    let failed = "failed: no disk";
    let expected = [
        "asked",
        "data a",
        "asked",
        &format!("source destroy: {failed}"),
        &format!("close: {failed}"),
    ];
    assert_eq!(log.lines(), expected);

    let (_, log) = script(&mut lp, mark(100), "", [Panic]);
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(log.lines().last().unwrap(), "close: ended by a panic of its callback");

    let (key, log) = script(&mut lp, mark(1).read_limit(10), "", []);
    lp.readable(key).pause();
    let mut pushes = 0;
    while lp.readable(key).push("abcdef") != Flow::Closed {
        pushes += 1;
    }
    assert_eq!(pushes, 2, "the limit is passed by one push at most");
    lp.run().unwrap();
    assert!(log.lines().last().unwrap().contains("more than the limit of 10"));
}

/// A source that always has more does not starve the others: what a turn reads of it is
/// bounded by `read_budget`.
#[test]
fn an_endless_source_leaves_turns_to_others() {
    struct Endless;
    impl Source for Endless {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            let _ = r.push(Bytes::from_static(&[0; 4096]));
            Ok(())
        }
    }
    let mut lp = guard(
        Loop::builder()
            .limits(NetLimits::new().read_budget(64 << 10))
            .limits(StreamLimits::new().read_budget(64 << 10))
            .build()
            .unwrap(),
    );
    lp.open_readable(ReadableOptions::new(), Endless, ()).unwrap();
    lp.timer(Duration::from_millis(5), |cx, _| cx.stop());
    lp.run().unwrap();
    assert!(lp.metrics().turns > 1);
}
