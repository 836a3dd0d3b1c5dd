//! A turn skips the phases that have nothing to do, unless an observer is there. Random actions in
//! every callback, panics too, have the same outcome both ways.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use tidegate::kind::{Dispatch, Kind, Owner};
use tidegate::prelude::*;
use tidegate::{HookKey, Key, TimerKey};

use crate::support::*;

#[derive(Default)]
struct World {
    random: u64,
    /// Actions that are left: a program ends.
    left: u32,
    names: u32,
    hooks: Vec<HookKey>,
    timers: Vec<TimerKey>,
    bells: VecDeque<Key>,
    lines: Vec<String>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

fn random(below: u64) -> u64 {
    WORLD.with_borrow_mut(|w| {
        w.random = w.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (w.random >> 33) % below
    })
}

static MINE: Owner = Owner::new();

static BELL: Kind = Kind::new("bell", &MINE)
    .ready(|d, key, n| called(d, key, "ready", n))
    .pending(|d, key, n| called(d, key, "pending", n))
    .closed(|d, key, n| {
        d.driver().handle(&MINE, key).unwrap().free();
        act(&mut d.cx(), &format!("closed {n}"));
    });

fn called(d: &mut Dispatch<'_>, _: Key, what: &str, n: u64) {
    act(&mut d.cx(), &format!("{what} {n}"));
    d.settle();
    d.lend_scratch(10);
}

fn name() -> u32 {
    WORLD.with_borrow_mut(|w| {
        w.names += 1;
        w.names
    })
}

/// Notes who was called, and does something.
fn act(cx: &mut Cx<'_>, who: &str) {
    let line = format!("{} {} {who}", cx.turn(), cx.phase());
    WORLD.with_borrow_mut(|w| w.lines.push(line));
    for _ in 0..random(3) {
        if !WORLD.with_borrow_mut(|w| {
            w.left = w.left.saturating_sub(1);
            w.left > 0
        }) {
            return;
        }
        one(cx);
    }
}

fn one(cx: &mut Cx<'_>) {
    let n = name();
    match random(14) {
        kind @ 0..3 => {
            let f = move |cx: &mut Cx<'_>, me: HookKey| {
                act(cx, &format!("hook {n}"));
                if random(2) == 0 {
                    let _ = cx.close(me);
                }
            };
            let key = match kind {
                0 => cx.idle(f),
                1 => cx.prepare(f),
                _ => cx.check(f),
            };
            WORLD.with_borrow_mut(|w| w.hooks.push(key));
        }
        3 => {
            let all = WORLD.with_borrow(|w| w.hooks.clone());
            if !all.is_empty() {
                let _ = cx.close(all[random(all.len() as u64) as usize]);
            }
        }
        4 | 5 => {
            let key = cx.timer(Duration::ZERO, move |cx, me| {
                act(cx, &format!("timer {n}"));
                if random(4) == 0 {
                    let _ = cx.timer_reset(me, Duration::ZERO);
                }
            });
            WORLD.with_borrow_mut(|w| w.timers.push(key));
        }
        6 => {
            if let Some(key) = WORLD.with_borrow_mut(|w| w.timers.pop()) {
                let _ = cx.timer_stop(key);
            }
        }
        7 | 8 => cx.next_tick(move |cx| act(cx, &format!("tick {n}"))),
        9 => {
            let posted = cx.remote().post(move |cx| act(cx, &format!("post {n}")));
            assert!(posted.is_ok());
        }
        10 => {
            let key = cx.driver().insert(&BELL, n.into()).unwrap().key();
            WORLD.with_borrow_mut(|w| w.bells.push_back(key));
        }
        11 | 12 => {
            let all = WORLD.with_borrow(|w| w.bells.clone());
            if !all.is_empty() {
                let key = all[random(all.len() as u64) as usize];
                let action = random(4);
                match (action, cx.driver().handle(&MINE, key)) {
                    (0, Some(mut bell)) => bell.queue(),
                    (1, Some(mut bell)) => bell.queue_now(),
                    (2, Some(mut bell)) => bell.pend(),
                    (0..3, None) => {}
                    _ => drop(cx.close(key)),
                }
            }
        }
        _ if random(3) == 0 => cx.stop(),
        _ => resume_unwind(Box::new("on purpose")),
    }
}

fn lines(seed: u64, watched: bool) -> Vec<String> {
    WORLD.set(World { random: seed, left: 400, ..World::default() });
    let mut lp = Loop::builder().tick_budget(5).build().unwrap();
    if watched {
        lp.observe(Trace::default());
    }
    for _ in 0..60 {
        let ran = catch_unwind(AssertUnwindSafe(|| {
            one(&mut lp.cx());
            lp.run_nowait().unwrap()
        }));
        let (alive, handles) = (lp.is_alive(), lp.handles());
        let line = format!("{:?}, {alive}, {handles}", ran.ok());
        WORLD.with_borrow_mut(|w| w.lines.push(line));
    }
    let m = lp.metrics();
    let counted = (m.turns, m.carried_over, m.ticks_carried_over, m.panics, m.events);
    WORLD.with_borrow_mut(|w| w.lines.push(format!("{counted:?}")));
    drop(lp);
    WORLD.take().lines
}

#[test]
fn a_turn_that_passes_by_phases_is_the_same_turn() {
    for seed in 0..500 {
        let (seen, unseen) = (lines(seed, true), lines(seed, false));
        let at = seen.iter().zip(&unseen).position(|(a, b)| a != b);
        if let Some(at) = at {
            let from = at.saturating_sub(10);
            panic!("seed {seed}: {:#?}\n{:#?}", &seen[from..=at], &unseen[from..=at]);
        }
        assert_eq!(seen.len(), unseen.len(), "seed {seed}");
    }
}
