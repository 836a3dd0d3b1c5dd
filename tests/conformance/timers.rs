//! libuv's own tests of timers. The numbers are those of the table in `tests/README.md`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::prelude::*;
use tidegate::{HookKey, KeyError, TimerKey};

use crate::support::*;
use crate::{MS, ZERO, add};

/// Ten one-shots, one interval of five shots, and a timer that is stopped.
#[test]
fn libuv_16_timer() {
    let mut lp = guarded();
    let (once, shots) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    for n in 0..10 {
        let once = once.clone();
        lp.timer(MS * 2 * n, move |cx, me| {
            once.set(once.get() + 1);
            assert!(cx.is_open(me), "until its callback has returned");
        });
    }
    let s = shots.clone();
    lp.interval(MS * 3, move |cx, me| {
        s.set(s.get() + 1);
        assert!(cx.timer_due_in(me).unwrap() > ZERO, "it is armed again already");
        if s.get() == 5 {
            cx.timer_stop(me).unwrap();
        }
    });
    let never = lp.timer(MS * 5, |_, _| panic!("it was stopped"));
    lp.timer_stop(never).unwrap();
    lp.run().unwrap();
    assert_eq!((once.get(), shots.get()), (10, 5));
}

/// libuv 17: equal deadlines fire in start order.
#[test]
fn libuv_17_timer_order() {
    let mut lp = guarded();
    let log = Log::default();
    lp.timer(Duration::from_millis(3), add(&log, "third"));
    lp.timer(ZERO, add(&log, "first"));
    lp.timer(ZERO, add(&log, "second"));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["first", "second", "third"]);
    assert_eq!(handles(&lp), 0);
}

/// Starting a timer anew replaces its deadline.
#[test]
fn libuv_18_timer_start_twice() {
    let mut lp = guarded();
    let log = Log::default();
    let far = lp.timer(DEADLINE * 100, add(&log, "moved"));
    lp.timer_reset(far, MS).unwrap();
    lp.timer(MS * 3, add(&log, "other"));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["moved", "other"]);
}

/// `again` pushes a repeating timer back; a repeat of 0 that is set in a callback takes
/// effect after the shot that is armed already; a timer that does not repeat says so.
#[test]
fn libuv_19_timer_again() {
    let mut lp = guarded();
    let log = Log::default();
    let watchdog = lp.interval(MS * 40, add(&log, "watchdog"));
    let l = log.clone();
    let n = Cell::new(0);
    lp.interval(MS * 10, move |cx, me| {
        l.add("push");
        assert_eq!(cx.timer_again(watchdog), Ok(true));
        n.set(n.get() + 1);
        if n.get() == 6 {
            cx.close(me).unwrap();
            cx.close(watchdog).unwrap();
        }
    });
    lp.run().unwrap();
    assert_eq!(log.lines(), ["push"; 6], "60 ms, and the watchdog of 40 ms never fired");

    let shots = Rc::new(Cell::new(0));
    let s = shots.clone();
    lp.interval(MS, move |cx, me| {
        s.set(s.get() + 1);
        cx.timer_set_repeat(me, ZERO).unwrap();
    });
    let once = lp.timer(MS, |_, _| {});
    assert_eq!(lp.timer_again(once), Ok(false));
    lp.run().unwrap();
    assert_eq!(shots.get(), 2);
}

/// libuv 20: a timer of 0 ms, armed again in its callback, runs once in a turn.
#[test]
fn libuv_20_timer_zero_timeout() {
    let mut lp = guarded();
    let turns = Rc::new(std::cell::RefCell::new(Vec::new()));
    let t = turns.clone();
    lp.timer(ZERO, move |cx, me| {
        t.borrow_mut().push(cx.turn());
        if t.borrow().len() < 5 {
            cx.timer_reset(me, ZERO).unwrap();
        }
    });
    lp.run().unwrap();
    // The first shot comes before the first turn, as in libuv.
    assert_eq!(*turns.borrow(), [0, 1, 2, 3, 4]);
}

/// libuv 21: huge values do not overflow.
#[test]
fn libuv_21_timer_huge_timeout() {
    let mut lp = guarded();
    let huge = lp.timer(Duration::MAX, |_, _| panic!("not in this life"));
    let more = lp.interval(Duration::from_secs(u64::MAX), |_, _| panic!("nor in the next"));
    assert!(lp.run_nowait().unwrap());
    lp.timer_stop(huge).unwrap();
    lp.timer_stop(more).unwrap();
    lp.run().unwrap();
}

/// `run_once` fires what is due; an interval that is overdue fires once, not twice.
#[test]
fn libuv_22_timer_run_once() {
    let mut lp = guarded();
    let shots = Rc::new(Cell::new(0));
    let s = shots.clone();
    let timer = lp.interval(MS, move |_, _| s.set(s.get() + 1));
    for nowait in [false, true] {
        shots.set(0);
        let start = Instant::now();
        while start.elapsed() < MS * 10 {
            std::hint::spin_loop();
        }
        let more = if nowait { lp.run_nowait() } else { lp.run_once() };
        assert!(more.unwrap());
        assert_eq!(shots.get(), 1, "nowait: {nowait}");
    }
    lp.close(timer).unwrap();
}

/// A timer that a check hook starts anew fires after the next prepare, not earlier.
#[test]
fn libuv_23_timer_from_check() {
    let mut lp = guarded();
    let log = Log::default();
    let (p, c, t) = (log.clone(), log.clone(), log.clone());
    let prepare = lp.prepare(move |_, _| p.add("prepare"));
    let check: Rc<Cell<Option<HookKey>>> = Rc::default();
    let key = check.clone();
    let timer: TimerKey = lp.timer(MS * 5, move |cx, _| {
        t.add("timer");
        cx.close(prepare).unwrap();
        cx.close(key.get().unwrap()).unwrap();
    });
    let idle = lp.idle(|_, _| {});
    check.set(Some(lp.check(move |cx, _| {
        c.add("check");
        if cx.turn() == 1 {
            cx.timer_reset(timer, MS * 5).unwrap();
            cx.close(idle).unwrap();
        }
    })));
    lp.run().unwrap();
    assert_eq!(log.lines(), ["prepare", "check", "prepare", "check", "timer"]);
}

/// libuv 24: never earlier than the clock says.
#[test]
fn libuv_24_timers_are_never_early() {
    let mut lp = guarded();
    for us in [1, 10, 100, 900, 1_000, 1_100, 2_500] {
        let (after, start) = (Duration::from_micros(us), Instant::now());
        lp.timer(after, move |_, _| assert!(start.elapsed() >= after, "{us}"));
    }
    lp.run().unwrap();
}

#[test]
fn libuv_25_timer_no_run_on_unref() {
    let mut lp = Loop::new().unwrap();
    let timer = lp.timer(ZERO, |_, _| panic!("nothing keeps the loop alive"));
    lp.set_ref(timer, false).unwrap();
    lp.run().unwrap();
    assert_eq!(lp.metrics().turns, 0);
}

/// Every operation on a closed timer is an error, and harmless.
#[test]
fn libuv_26_timer_is_closing() {
    let mut lp = guarded();
    let timer = lp.interval(MS, |_, _| panic!("it was closed"));
    lp.close(timer).unwrap();
    assert_eq!(lp.timer_reset(timer, ZERO), Err(KeyError::Closed));
    assert_eq!(lp.timer_again(timer), Err(KeyError::Closed));
    assert_eq!(lp.timer_set_repeat(timer, ZERO), Err(KeyError::Closed));
    assert_eq!(lp.timer_due_in(timer), Err(KeyError::Closed));
    assert_eq!(lp.timer_stop(timer), Err(KeyError::Closed));
    assert_eq!(lp.set_ref(timer, true), Err(KeyError::Closed));
    lp.run().unwrap();
}

/// 1,000,000 timers: started, moved, stopped, and the rest fires in order.
#[test]
fn a_million_timers() {
    let mut lp = guarded();
    let fired = Rc::new(Cell::new(0u32));
    let last = Rc::new(Cell::new(ZERO));
    let mut cx = lp.cx();
    let keys: Vec<TimerKey> = (0..1_000_000u32)
        .map(|n| {
            let (fired, last) = (fired.clone(), last.clone());
            cx.timer(Duration::from_nanos(u64::from(n.wrapping_mul(2_654_435_761) % 1_000_000)), {
                move |cx, _| {
                    fired.set(fired.get() + 1);
                    assert!(cx.now() >= last.replace(cx.now()));
                }
            })
        })
        .collect();
    for pair in keys.chunks(4) {
        cx.timer_stop(pair[0]).unwrap();
        cx.timer_reset(pair[1], ZERO).unwrap();
    }
    lp.run().unwrap();
    assert_eq!(fired.get(), 750_000);
}

/// A timer that is reset to later wakes the loop once, at its last deadline.
#[test]
fn a_timer_reset_to_later_wakes_the_loop_once() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let (fired, asked) = (Rc::new(Cell::new(ZERO)), Rc::new(Cell::new(None)));
    let (f, s) = (fired.clone(), script.clone());
    let late = lp.timer(MS * 100, move |_, _| f.set(s.now()));
    let left = Cell::new(5);
    lp.timer(MS * 10, move |cx, me| {
        cx.timer_reset(late, MS * 300).unwrap();
        left.set(left.get() - 1);
        if left.get() > 0 {
            cx.timer_reset(me, MS * 10).unwrap();
        }
    });
    let (a, turns) = (asked.clone(), Rc::new(Cell::new(0)));
    let t = turns.clone();
    lp.check(move |cx, me| {
        t.set(t.get() + 1);
        a.set(Some(cx.timer_due_in(late).unwrap()));
        if t.get() == 6 {
            cx.close(me).unwrap();
        }
    });
    while lp.is_alive() {
        let next = lp.backend_timeout();
        assert!(next.is_some_and(|next| next <= MS * 300), "{next:?}");
        lp.run_once().unwrap();
    }
    assert_eq!(fired.get(), MS * 350);
    assert_eq!((turns.get(), lp.metrics().turns), (6, 6));
    assert_eq!(asked.get(), Some(ZERO));
}
