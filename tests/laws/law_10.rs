//! Law 10, in every phase: a callback that panics unwinds out of `run`; the next run
//! goes on with the rest of the interrupted batch, and the counter says so.
#![cfg(unix)]

use std::cell::Cell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use tidegate::event::{Fd, Interest};
use tidegate::kind::{Kind, LayerId};
use tidegate::prelude::*;
use tidegate::signals::SIGUSR1;
use tidegate::{HookKey, Phase};

use crate::support::*;

/// A batch of two calls: the first panics, the second is logged with its phase.
struct Batch {
    log: Log,
    panicked: Rc<Cell<bool>>,
}

impl Batch {
    fn call(&self, cx: &mut Cx<'_>) {
        if !self.panicked.replace(true) {
            resume_unwind(Box::new("on purpose"));
        }
        self.log.add(cx.phase().to_string());
    }
}

/// `start` makes two calls of the batch due in one phase.
fn interrupted(phase: Phase, start: impl FnOnce(&mut Loop, [Rc<Batch>; 2])) {
    let mut lp = guarded();
    let (log, panicked) = (Log::default(), Rc::new(Cell::new(false)));
    let batch = || Rc::new(Batch { log: log.clone(), panicked: panicked.clone() });
    start(&mut lp, [batch(), batch()]);
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err(), "{phase}");
    assert!(log.lines().is_empty(), "{phase}: {:?}", log.lines());
    assert_eq!(lp.metrics().panics, 1, "{phase}");
    lp.run().unwrap();
    assert_eq!(log.lines(), [phase.to_string()]);
    assert_eq!(lp.metrics().panics, 1, "{phase}");
    assert_eq!(handles(&lp), 0, "{phase}: {:?}", lp.walk());
}

#[test]
fn pending() {
    static BATCHES: LayerId<Vec<Rc<Batch>>> = LayerId::new(Vec::new);
    static KIND: Kind = Kind::new("pending", BATCHES.owner()).pending(|d, key, n| {
        let batch = d.layer(&BATCHES).0[n as usize].clone();
        let panicked = batch.panicked.get();
        batch.call(&mut d.cx());
        assert!(panicked);
        d.driver().handle(BATCHES.owner(), key).unwrap().free();
    });
    // The one that panicked is called again, too: its dispatch was interrupted.
    let mut lp = guarded();
    let (log, panicked) = (Log::default(), Rc::new(Cell::new(false)));
    for n in 0..2 {
        let mut cx = lp.cx();
        let (batches, mut d) = cx.layer(&BATCHES);
        batches.push(Rc::new(Batch { log: log.clone(), panicked: panicked.clone() }));
        d.insert(&KIND, n).unwrap().pend();
    }
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    assert!(log.lines().is_empty());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["pending", "pending"]);
    assert_eq!(handles(&lp), 0);
}

#[test]
fn hooks() {
    // A hook keeps its closure, so both are called in the run after.
    for (phase, start) in [
        (Phase::Idle, (|cx, b| cx.idle(b)) as Start),
        (Phase::Prepare, |cx, b| cx.prepare(b)),
        (Phase::Check, |cx, b| cx.check(b)),
    ] {
        interrupted(phase, |lp, batch| {
            let first = batch[0].clone();
            start(
                &mut lp.cx(),
                Box::new(move |cx, me| {
                    // It runs once; the panic interrupts it after that was said.
                    cx.close(me).unwrap();
                    first.call(cx);
                }),
            );
            let second = batch[1].clone();
            start(
                &mut lp.cx(),
                Box::new(move |cx, me| {
                    cx.close(me).unwrap();
                    second.call(cx);
                }),
            );
            // So that no poll waits.
            lp.idle(|cx, me| {
                if cx.turn() == 2 {
                    cx.close(me).unwrap();
                }
            });
        });
    }
}

type Start = fn(&mut Cx<'_>, Box<dyn FnMut(&mut Cx<'_>, HookKey)>) -> HookKey;

#[test]
fn ready_by_watchers() {
    interrupted(Phase::Ready, |lp, batch| {
        for b in batch {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            theirs.write_all(b"x").unwrap();
            let source = Fd::new(ours).unwrap();
            lp.watch(source, Interest::READABLE, move |cx, me, _, _| {
                let _ = &theirs;
                cx.close(me).unwrap();
                b.call(cx);
            })
            .unwrap();
        }
    });
}

#[test]
fn ready_by_work() {
    interrupted(Phase::Ready, |lp, batch| {
        for b in batch {
            lp.work(|| (), move |cx, _| b.call(cx)).unwrap();
        }
        // Both results are there before the loop looks.
        while lp.work_stats().done < 2 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn ready_by_signals() {
    interrupted(Phase::Ready, |lp, batch| {
        for b in batch {
            let key = lp.signal_once(SIGUSR1, move |cx, _, _| b.call(cx)).unwrap();
            lp.set_ref(key, true).unwrap();
        }
        signal_hook::low_level::raise(SIGUSR1).unwrap();
    });
}

#[test]
fn closing() {
    interrupted(Phase::Closing, |lp, batch| {
        for b in batch {
            let key = lp.connect("127.0.0.1:1", On::new().close(move |s, _| b.call(&mut s.cx())));
            lp.socket(key).destroy();
        }
    });
}

#[test]
fn timers() {
    interrupted(Phase::Timers, |lp, batch| {
        for b in batch {
            lp.timer(Duration::ZERO, move |cx, _| b.call(cx));
        }
    });
}

/// Ticks belong to whatever callback comes before them; from outside, to no phase.
#[test]
fn ticks() {
    interrupted(Phase::Outside, |lp, batch| {
        for b in batch {
            lp.next_tick(move |cx| b.call(cx));
        }
    });
}

/// A value whose drop panics: the others are dropped, and all goes on.
#[test]
fn a_drop_that_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("on purpose"));
        }
    }
    let mut lp = guarded();
    let value = Rc::new(());
    let held = value.clone();
    let bomb = Bomb;
    let first = lp.timer(Duration::ZERO, move |_, _| drop(held.clone()));
    let second = lp.timer(Duration::ZERO, move |_, _| {
        let _ = &bomb;
    });
    let log = Log::default();
    let l = log.clone();
    lp.timer(Duration::ZERO, move |cx, _| {
        cx.close(first).unwrap_err();
        l.add("third");
    });
    for key in [first, second] {
        lp.timer_stop(key).unwrap();
    }
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!((Rc::strong_count(&value), log.lines()), (1, vec!["third".to_owned()]));
}
