//! The loop by itself: order of phases, timers, ticks, posts, stop, and what a
//! panic leaves for the next run.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::prelude::*;
use tidegate::{KeyError, Phase, PostError};

use crate::support::*;

const ZERO: Duration = Duration::ZERO;

const MS: Duration = Duration::from_millis(1);

fn add(log: &Log, line: &'static str) -> impl FnMut(&mut Cx<'_>, tidegate::TimerKey) + 'static {
    let log = log.clone();
    move |_, _| log.add(line)
}

/// libuv 9: a due timer that an earlier callback of its batch stopped does not
/// fire; one that was moved fires later.
#[test]
fn a_timer_stopped_or_moved_by_an_earlier_one_of_its_batch() {
    let mut lp = guarded();
    let log = Log::default();
    let keys = Rc::new(Cell::new(None));
    let (l, k) = (log.clone(), keys.clone());
    lp.timer(ZERO, move |cx, me| {
        let (stopped, moved) = Cell::get(&k).unwrap();
        cx.timer_stop(stopped).unwrap();
        cx.timer_reset(moved, Duration::from_millis(2)).unwrap();
        cx.timer_stop(me).unwrap();
        assert_eq!(cx.timer_stop(me), Err(KeyError::Closed));
        l.add("first");
    });
    let stopped = lp.timer(ZERO, |_, _| panic!("it was stopped"));
    let moved = lp.timer(ZERO, add(&log, "moved"));
    lp.timer(ZERO, add(&log, "last"));
    keys.set(Some((stopped, moved)));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["first", "last", "moved"]);
}

#[test]
fn an_interval_repeats_until_it_is_stopped() {
    let mut lp = guarded();
    let shots = Rc::new(Cell::new(0));
    let s = shots.clone();
    lp.interval(Duration::from_micros(100), move |cx, me| {
        s.set(s.get() + 1);
        if s.get() == 5 {
            cx.timer_stop(me).unwrap();
        }
    });
    lp.run().unwrap();
    assert_eq!(shots.get(), 5);
}

/// Ticks run right after the callback, in order, before the next callback.
#[test]
fn ticks_run_after_the_callback_and_before_the_next() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    lp.timer(ZERO, move |cx, _| {
        let (a, b) = (l.clone(), l.clone());
        cx.next_tick(move |cx| {
            let l = a.clone();
            a.add("tick 1");
            cx.next_tick(move |_| l.add("tick of tick 1"));
        });
        cx.next_tick(move |_| b.add("tick 2"));
        l.add("timer 1");
    });
    lp.timer(ZERO, add(&log, "timer 2"));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["timer 1", "tick 1", "tick 2", "tick of tick 1", "timer 2"]);
}

/// A tick that always asks for another starves nobody, and no poll blocks.
#[test]
fn tick_budget_is_carried_over_in_order() {
    let mut lp = guard(Loop::builder().tick_budget(10).build().unwrap());
    let per_turn = Rc::new(std::cell::RefCell::new(Vec::<(u64, u32)>::new()));
    for n in 0..35u32 {
        let per_turn = per_turn.clone();
        lp.next_tick(move |cx| per_turn.borrow_mut().push((cx.turn(), n)));
    }
    lp.run().unwrap();
    let seen = per_turn.borrow();
    assert!(seen.iter().map(|(_, n)| *n).eq(0..35));
    // The first ones come before the first turn, with its due timers.
    for turn in 0..=2 {
        assert_eq!(seen.iter().filter(|(t, _)| *t == turn).count(), 10);
    }
    assert_eq!(lp.metrics().ticks_carried_over, 2);
}

/// `after` fires once, and gives its closure away; until then its timer is one like any other.
#[test]
fn after_fires_once() {
    let (mut lp, script) = scripted();
    let log = Log::default();
    let held = Rc::new(());
    let (l, h, s) = (log.clone(), held.clone(), script.clone());
    let key = lp.after(Duration::from_secs(1), move |cx| {
        drop(h);
        l.add(format!("{:?} in {}", s.now(), cx.phase()));
    });
    let start = script.now();
    lp.timer_reset(key, Duration::from_secs(3)).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), [format!("{:?} in timers", start + Duration::from_secs(3))]);
    assert_eq!((Rc::strong_count(&held), lp.timer_stop(key)), (1, Err(KeyError::Closed)));
}

/// A post that comes while the loop changes what it watches is not lost. (mio's poll(2)
/// swallows such a wake-up.)
#[test]
fn posts_meet_registrations() {
    let mut lp = guarded();
    lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    let nobody = closed_port();
    let remote = lp.remote();
    let poster = std::thread::spawn(move || {
        let (say, hear) = std::sync::mpsc::channel();
        for _ in 0..3_000 {
            let say = say.clone();
            let post = move |cx: &mut Cx<'_>| {
                say.send(()).unwrap();
                // The next post meets this.
                let key = cx.connect(nobody, On::new().close(|_, _| {}));
                cx.socket(key).destroy();
            };
            remote.post(post).map_err(|_| ()).unwrap();
            hear.recv_timeout(DEADLINE / 2).expect("the post ran");
        }
        remote.post(|cx| cx.stop()).map_err(|_| ()).unwrap();
    });
    lp.run().unwrap();
    poster.join().unwrap();
}

#[test]
fn posts_run_in_order_and_fail_when_they_cannot() {
    let mut lp = guard(Loop::builder().inbox_limit(3).build().unwrap());
    let remote = lp.remote();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    for n in 0..3 {
        let seen = seen.clone();
        remote.post(move |_| seen.lock().unwrap().push(n)).unwrap();
    }
    assert!(matches!(remote.post(|_| {}), Err(PostError::Full(_))));
    lp.run().unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2]);
    drop(lp);
    assert!(matches!(remote.post(|_| {}), Err(PostError::LoopGone(_))));
}

#[test]
fn posts_from_four_threads_are_never_lost() {
    let mut lp = guarded();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (remote, count) = (lp.remote(), count.clone());
            std::thread::spawn(move || {
                for _ in 0..5_000 {
                    let count = count.clone();
                    let post = move |cx: &mut Cx<'_>| {
                        if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == 20_000 {
                            cx.stop();
                        }
                    };
                    remote.post(post).unwrap();
                }
            })
        })
        .collect();
    let keep = lp.timer(DEADLINE * 2, |_, _| {});
    lp.run().unwrap();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 20_000);
    lp.timer_stop(keep).unwrap();
}

/// Law 10: the rest of an interrupted batch runs next time, in each batch.
#[test]
fn a_panic_leaves_the_rest_of_its_batch_for_the_next_run() {
    let on_purpose = || resume_unwind(Box::new("on purpose"));
    let mut lp = guarded();
    let log = Log::default();
    let run = |lp: &mut Loop, expected: &[&str]| {
        assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
        assert!(log.lines().is_empty(), "{:?}", log.lines());
        lp.run().unwrap();
        assert_eq!(log.lines(), expected);
        log.0.borrow_mut().clear();
    };
    // Timers.
    lp.timer(ZERO, move |_, _| on_purpose());
    lp.timer(ZERO, add(&log, "timer"));
    run(&mut lp, &["timer"]);
    // Ticks.
    lp.next_tick(move |_| on_purpose());
    let l = log.clone();
    lp.next_tick(move |_| l.add("tick"));
    run(&mut lp, &["tick"]);
    // Posts.
    let remote = lp.remote();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let d = done.clone();
    remote.post(move |_| on_purpose()).unwrap();
    remote.post(move |_| d.store(true, std::sync::atomic::Ordering::Relaxed)).unwrap();
    run(&mut lp, &[]);
    assert!(done.load(std::sync::atomic::Ordering::Relaxed));
    // Closing.
    let at = closed_port();
    let l = log.clone();
    let first = lp.connect(at, On::new().close(move |_, _| on_purpose()));
    let second = lp.connect(at, On::new().close(move |_, _| l.add("close")));
    lp.socket(first).destroy();
    lp.socket(second).destroy();
    run(&mut lp, &["close"]);
    assert_eq!(handles(&lp), 0);
}

/// An interval that panics keeps its closure.
#[test]
fn an_interval_survives_its_panic() {
    let mut lp = guarded();
    let shots = Rc::new(Cell::new(0));
    let s = shots.clone();
    lp.interval(Duration::from_micros(10), move |cx, me| {
        s.set(s.get() + 1);
        match s.get() {
            1 => resume_unwind(Box::new("on purpose")),
            3 => cx.timer_stop(me).unwrap(),
            _ => {}
        }
    });
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(shots.get(), 3);
}

/// Dropping a loop drops what users gave it and calls nothing.
#[test]
fn drop_runs_no_callback_and_drops_every_value() {
    let mut lp = Loop::new().unwrap();
    let value = Rc::new(());
    let held = |_: &str| value.clone();
    let (a, b, c, d) = (held("timer"), held("tick"), held("server"), held("socket"));
    lp.timer(ZERO, move |_, _| panic!("{a:?}"));
    lp.next_tick(move |_| panic!("{b:?}"));
    let server = lp.listen("127.0.0.1:0", move |_| panic!("{c:?}")).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    lp.connect(at, On::new().connect(move |_| panic!("{d:?}")).close(|_, _| panic!()));
    assert_eq!(Rc::strong_count(&value), 5);
    drop(lp);
    assert_eq!(Rc::strong_count(&value), 1);
}

/// A tick from outside runs before anything else does.
#[test]
fn a_tick_from_outside_runs_first() {
    let mut lp = guarded();
    let log = Log::default();
    lp.timer(ZERO, add(&log, "timer"));
    let l = log.clone();
    lp.next_tick(move |_| l.add("tick"));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["tick", "timer"]);
}

/// After a panic the loop stands still, and a stop that was asked for is forgotten.
#[test]
fn a_panic_ends_the_run_as_a_return_does() {
    let mut lp = guarded();
    let log = Log::default();
    lp.timer(ZERO, |cx, _| {
        cx.stop();
        resume_unwind(Box::new("on purpose"))
    });
    lp.timer(ZERO, add(&log, "second"));
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    assert_eq!(lp.cx().phase(), Phase::Outside);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["second"]);
    assert_eq!(lp.metrics().panics, 1);
}

/// Shots of an interval keep their distance, also after a call that took long.
#[test]
fn an_interval_keeps_its_distance() {
    let mut lp = guarded();
    let every = Duration::from_millis(10);
    let shots = Rc::new(std::cell::RefCell::new(Vec::new()));
    lp.timer(every, move |_, _| {
        let start = std::time::Instant::now();
        while start.elapsed() < every * 2 {
            std::hint::spin_loop();
        }
    });
    let s = shots.clone();
    lp.interval(every, move |cx, me| {
        s.borrow_mut().push(std::time::Instant::now());
        if s.borrow().len() == 3 {
            cx.close(me).unwrap();
        }
    });
    lp.run().unwrap();
    let shots = shots.borrow();
    let apart: Vec<_> = shots.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(apart.iter().all(|d| *d >= every - Duration::from_micros(500)), "{apart:?}");
}

/// A guard keeps the loop alive until it is dropped, in any thread; its name shows.
#[test]
fn a_keep_alive_is_a_reason_to_stay() {
    let mut lp = guarded();
    let stay = lp.keep_alive("the importer").unwrap();
    assert_eq!(lp.why_alive()[0].name, "the importer");
    let remote = lp.remote();
    let (send, got) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        for n in 0..100 {
            let send = send.clone();
            remote.post(move |_| send.send(n).unwrap()).unwrap();
        }
        drop(stay);
    });
    lp.run().unwrap();
    thread.join().unwrap();
    assert!(got.try_iter().eq(0..100), "all of them ran before the loop ended");
    assert_eq!(handles(&lp), 0);
    // One that outlives its handle, and one that outlives its loop.
    let closed = lp.keep_alive("a").unwrap();
    let orphan = lp.keep_alive("b").unwrap();
    lp.close(&closed).unwrap();
    drop(closed);
    drop(lp);
    drop(orphan);
}

/// A shared value is lent to one call at a time, comes back also by a panic, and is
/// dropped when nobody has it.
#[test]
fn a_shared_value_is_lent_to_one_at_a_time() {
    use tidegate::LeaseError;
    let mut lp = guarded();
    let value = Rc::new(Cell::new(0));
    let shared = lp.share(value.clone()).unwrap();
    let nested = lp.with(shared, |n, cx| {
        n.set(1);
        cx.with(shared, |_, _| ())
    });
    assert_eq!(nested, Ok(Err(LeaseError::Leased)));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = lp.with(shared, |_, _| -> () { resume_unwind(Box::new("on purpose")) });
    }));
    assert!(panicked.is_err());
    assert_eq!(lp.with(shared, |n, _| n.get()), Ok(1), "it came back");
    let closed = lp.with(shared, |n, cx| {
        cx.close(shared).unwrap();
        Rc::strong_count(n)
    });
    assert_eq!(closed, Ok(2), "not dropped under the one who has it");
    assert_eq!(lp.with(shared, |_, _| ()), Err(LeaseError::Key(KeyError::Closed)));
    lp.run().unwrap();
    assert_eq!(Rc::strong_count(&value), 1);
    assert!(!lp.is_alive(), "a value is no reason to stay");
}

/// A hook that closes all of its phase and panics leaves no stale place: the next one that
/// is started runs in its first turn.
#[test]
fn a_hook_after_a_panic_that_closed_them_all() {
    let mut lp = guarded();
    lp.prepare(|cx, me| {
        cx.close(me).unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    lp.idle(|cx, me| {
        if cx.turn() > 2 {
            cx.close(me).unwrap();
        }
    });
    for _ in 0..3 {
        lp.prepare(|cx, me| cx.close(me).unwrap());
    }
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run())).is_err());
    let first = Rc::new(Cell::new(0));
    let f = first.clone();
    lp.run_once().unwrap();
    let turn = lp.cx().turn();
    lp.prepare(move |cx, me| {
        f.set(cx.turn());
        cx.close(me).unwrap();
    });
    lp.run().unwrap();
    assert_eq!(first.get(), turn + 1);
}

/// Time between runs is not the loop's: it is no lag. But events can have waited so long.
#[test]
fn time_outside_of_a_run_is_not_work() {
    let mut lp = guarded();
    lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    lp.run_nowait().unwrap();
    let start = Instant::now();
    while start.elapsed() < MS * 30 {
        std::hint::spin_loop();
    }
    lp.run_nowait().unwrap();
    assert!(lp.cx().driver().away() >= MS * 30);
    assert!(lp.metrics().turn_lengths.quantile(1.0) < MS * 20);
}
