//! The seam for those who make their own kinds of handles, misused: nothing that it
//! takes can break what belongs to others.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use tidegate::event::Readiness;
use tidegate::kind::{Kind, Owner};
use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::{Key, KeyError};

use crate::support::*;

static MINE: Owner = Owner::new();
static BELL: Kind = Kind::new("bell", &MINE);
static PANICS: Kind =
    Kind::new("panics", &MINE).closed(|_, _, _| resume_unwind(Box::new("on purpose")));

/// The loop's own marks are not for others to set or to take.
#[test]
fn readiness_is_all_that_can_be_assumed_or_forgotten() {
    let mut lp = guarded();
    let mut cx = lp.cx();
    let mut d = cx.driver();
    let mut bell = d.insert(&BELL, 0).unwrap();
    bell.assume(Readiness::READABLE);
    let all = bell.readiness();
    assert_eq!(all, Readiness::READABLE);
    bell.forget(all);
    let key = bell.key();
    assert!(cx.has_ref(key));
    cx.close(key).unwrap();
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

/// What belongs to another layer is not found.
#[test]
fn handles_of_others_cannot_be_broken() {
    let mut lp = guarded();
    let ran = Rc::new(Cell::new(0));
    let (a, b) = (ran.clone(), ran.clone());
    let timer = lp.timer(Duration::from_millis(1), move |_, _| a.set(a.get() + 1));
    let hook = lp.prepare(move |cx, me| {
        b.set(b.get() + 1);
        cx.close(me).unwrap();
    });
    let keys: [Key; 2] = [timer.into(), hook.into()];
    let mut cx = lp.cx();
    for key in keys {
        assert!(cx.driver().handle(&MINE, key).is_none());
        assert_eq!(cx.driver().data(&MINE, key), None);
    }
    lp.run().unwrap();
    assert_eq!((ran.get(), handles(&lp)), (2, 0));
}

/// While a handle is lent, nobody gets a second one to it; others of the same owner are there.
#[test]
fn a_handle_is_lent_once() {
    static OTHER: Owner = Owner::new();
    static FOREIGN: Kind = Kind::new("foreign", &OTHER);
    let mut lp = guarded();
    let mut cx = lp.cx();
    let mut d = cx.driver();
    let (a, b) = (d.insert(&BELL, 1).unwrap().key(), d.insert(&BELL, 2).unwrap().key());
    let c = d.insert(&FOREIGN, 3).unwrap().key();
    let mut first = d.handle(&MINE, a).unwrap();
    assert!(first.other(&MINE, a).is_none());
    assert_eq!(first.other(&MINE, b).map(|h| h.data()), Some(2));
    assert!(first.other(&MINE, c).is_none());
    assert!(!first.turn_into(&FOREIGN) && first.turn_into(&PANICS));
    first.turn_into(&BELL);
    first.other(&MINE, b).unwrap().free();
    first.free();
    d.handle(&OTHER, c).unwrap().free();
    assert!(d.handle(&MINE, a).is_none() && d.handle(&MINE, b).is_none());
}

/// A handle that lets the others go first is called once more in the same pass, behind them; and
/// not a third time, whatever it asks for.
#[test]
fn a_handle_lets_the_others_go_first_once() {
    thread_local! {
        static CALLS: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    fn called(name: &str, moved: bool) {
        CALLS.with_borrow_mut(|calls| calls.push(format!("{name} {moved}")));
    }
    static LONG: Kind = Kind::new("long", &MINE).ready(|d, key, n| {
        let moved = d.driver().handle(&MINE, key).unwrap().queue_last();
        called(&format!("long {n}"), moved);
    });
    static SHORT: Kind = Kind::new("short", &MINE).ready(|_, _, _| called("short", false));
    let mut lp = guarded();
    let mut cx = lp.cx();
    let mut d = cx.driver();
    let mut keys = Vec::new();
    for (kind, n) in [(&LONG, 1), (&LONG, 2), (&SHORT, 0)] {
        let mut h = d.insert(kind, n).unwrap();
        h.queue();
        // Outside of a pass there is nobody to let go first.
        assert!(!h.queue_last());
        keys.push(h.key());
    }
    lp.run_nowait().unwrap();
    let calls = CALLS.take();
    let expected = ["long 1 true", "long 2 true", "short false", "long 1 false", "long 2 false"];
    assert_eq!(calls, expected);
    // Alone in the pass it goes at once.
    lp.cx().driver().handle(&MINE, keys[0]).unwrap().queue();
    lp.run_nowait().unwrap();
    assert_eq!(CALLS.take(), ["long 1 false"]);
    let mut cx = lp.cx();
    for key in keys {
        cx.driver().handle(&MINE, key).unwrap().free();
    }
}

/// The inbox is the loop's own.
#[test]
fn the_inbox_cannot_be_closed() {
    #[derive(Clone, Default)]
    struct Keys(Rc<Cell<Option<Key>>>);
    impl Observer for Keys {
        fn event(&mut self, _: &Moment, event: &Event<'_>) {
            if let Event::Ready { key, .. } = event {
                self.0.set(Some(*key));
            }
        }
    }
    let mut lp = guarded();
    let keys = Keys::default();
    lp.observe(keys.clone());
    let remote = lp.remote();
    remote.post(|_| {}).unwrap();
    lp.run().unwrap();
    let inbox = keys.0.get().unwrap();
    let mut cx = lp.cx();
    assert!(cx.driver().handle(&MINE, inbox).is_none());
    assert_eq!(cx.close(inbox), Err(KeyError::Closed));
    cx.close_all();
    let (send, got) = std::sync::mpsc::channel();
    remote.post(move |_| send.send(()).unwrap()).unwrap();
    lp.run().unwrap();
    assert_eq!(got.try_iter().count(), 1);
}

/// A close callback that panics before it freed its slot.
#[test]
fn a_panic_in_closed_frees_the_slot() {
    let mut lp = guarded();
    let key = lp.cx().driver().insert(&PANICS, 0).unwrap().key();
    lp.close(key).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(lp.cx().validate(key), Err(KeyError::Closed));
    assert_eq!(handles(&lp), 0);
}

/// What a call from outside of `run` displaced is dropped by the next run, also if
/// there is nothing to do.
#[test]
fn the_graveyard_is_emptied_by_a_run_without_turns() {
    let mut lp = guarded();
    let value = Rc::new(());
    let held = value.clone();
    let timer = lp.timer(Duration::ZERO, move |_, _| drop(held.clone()));
    lp.timer_stop(timer).unwrap();
    assert_eq!(Rc::strong_count(&value), 2);
    lp.run().unwrap();
    assert_eq!((Rc::strong_count(&value), lp.metrics().turns), (1, 0));
}

#[test]
fn a_limit_that_cannot_be_had_is_an_error() {
    let error = Loop::builder().events(usize::MAX).build().unwrap_err();
    assert_eq!(error.to_string(), "events of loop is more than 1048576");
}

/// A handle that safe code takes apart from its loop finds nothing in another.
#[test]
fn a_handle_does_not_reach_into_another_loop() {
    let (mut a, mut b) = (Loop::new().unwrap(), Loop::new().unwrap());
    let (mut ca, mut cb) = (a.cx(), b.cx());
    let (mut da, mut db) = (ca.driver(), cb.driver());
    let ka = da.insert(&BELL, 1).unwrap().key();
    let kb = db.insert(&BELL, 2).unwrap().key();
    let mut ha = da.handle(&MINE, ka).unwrap();
    let mut hb = db.handle(&MINE, kb).unwrap();
    std::mem::swap(&mut *ha, &mut *hb);
    assert_ne!((ha.data(), hb.data()), (2, 1), "the data of another loop's handle");
    ha.assume(Readiness::READABLE);
    assert!(ha.readiness() != Readiness::NONE || hb.readiness() == Readiness::NONE);
    std::mem::swap(&mut *ha, &mut *hb);
    assert_eq!((ha.data(), hb.data()), (1, 2));
    ha.free();
    hb.free();
}
