//! libuv's own tests of signals, as behaviours of tidegate. The numbers are those of the table
//! in `tests/README.md`.
#![cfg(unix)]

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tidegate::Phase;
use tidegate::event::Interest;
use tidegate::prelude::*;
use tidegate::signals::{SIGUSR1, SIGUSR2};

use crate::support::*;
use crate::watched::{drain, file};

const MS: Duration = Duration::from_millis(1);

static SIGNALS: Mutex<()> = Mutex::new(());

/// Signals are the whole process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    SIGNALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A watcher is no reason to run; here it is to be one.
fn stay(cx: &mut Cx<'_>, watcher: tidegate::SignalKey) {
    assert!(!cx.has_ref(watcher));
    cx.set_ref(watcher, true).unwrap();
}

fn raise(number: i32) {
    signal_hook::low_level::raise(number).unwrap();
}

/// Every watcher of a number gets each signal, in start order, in the ready pass.
#[test]
fn libuv_65_we_get_signals_mixed() {
    let _alone = alone();
    let mut lp = guarded();
    let log = Log::default();
    let mut keys = Vec::new();
    for (name, number) in [("a", SIGUSR1), ("b", SIGUSR2), ("c", SIGUSR1)] {
        let l = log.clone();
        let key = lp.signal(number, move |cx, _, n| {
            assert_eq!((cx.phase(), n), (Phase::Ready, number));
            l.add(name);
        });
        keys.push(key.unwrap());
    }
    assert!(!lp.is_alive(), "as in Node; in libuv a watcher is a reason to run");
    stay(&mut lp.cx(), keys[0]);
    let l = log.clone();
    lp.signal_once(SIGUSR1, move |_, _, _| l.add("once")).unwrap();
    raise(SIGUSR1);
    turn_until(&mut lp, |_| log.lines().len() == 3);
    assert_eq!(log.lines(), ["a", "c", "once"]);
    raise(SIGUSR2);
    raise(SIGUSR1);
    turn_until(&mut lp, |_| log.lines().len() == 6);
    assert_eq!(log.lines()[3..], ["a", "b", "c"]);
    assert!(lp.is_alive());
    for key in keys {
        lp.close(key).unwrap();
    }
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

/// One-shot is once, also if it starts itself anew in its callback.
#[test]
fn libuv_65_one_shot() {
    let _alone = alone();
    let mut lp = guarded();
    let shots = Rc::new(Cell::new(0));
    fn start(cx: &mut Cx<'_>, shots: Rc<Cell<u32>>) {
        let key = cx.signal_once(SIGUSR1, move |cx, me, _| {
            assert!(!cx.is_open(me), "it has ended before its call");
            shots.set(shots.get() + 1);
            if shots.get() < 3 {
                start(cx, shots.clone());
            }
        });
        stay(cx, key.unwrap());
    }
    start(&mut lp.cx(), shots.clone());
    for n in 1..=3 {
        raise(SIGUSR1);
        turn_until(&mut lp, |_| shots.get() == n);
    }
    assert!(!lp.is_alive());
}

/// Two loops, one in another thread, both get it.
#[test]
fn libuv_65_signal_multiple_loops() {
    let _alone = alone();
    let (ready, started) = mpsc::channel();
    let other = std::thread::spawn(move || {
        let mut lp = guarded();
        let key = lp.signal_once(SIGUSR2, |_, _, _| {}).unwrap();
        stay(&mut lp.cx(), key);
        ready.send(()).unwrap();
        lp.run().unwrap();
    });
    let mut lp = guarded();
    let key = lp.signal_once(SIGUSR2, |_, _, _| {}).unwrap();
    stay(&mut lp.cx(), key);
    started.recv().unwrap();
    raise(SIGUSR2);
    lp.run().unwrap();
    other.join().unwrap();
}

/// Closed before it was delivered: nothing comes, and its closure is given back.
#[test]
fn libuv_65_signal_pending_on_close() {
    let _alone = alone();
    let mut lp = guarded();
    let value = Rc::new(());
    let held = value.clone();
    let key = lp.signal(SIGUSR1, move |_, _, _| panic!("{held:?}")).unwrap();
    // Another one, so that the signal is not what ends the process.
    let other = lp.signal(SIGUSR1, |_, _, _| {}).unwrap();
    stay(&mut lp.cx(), other);
    raise(SIGUSR1);
    lp.close(key).unwrap();
    lp.run_once().unwrap();
    assert_eq!(Rc::strong_count(&value), 1);
    // And one that an earlier watcher of the same signal closes.
    let value2 = value.clone();
    let third = Rc::new(Cell::new(None));
    let t = third.clone();
    lp.signal(SIGUSR1, move |cx, me, _| {
        cx.close(t.get().unwrap()).unwrap();
        cx.close(me).unwrap();
    })
    .unwrap();
    third.set(Some(lp.signal(SIGUSR1, move |_, _, _| panic!("{value2:?}")).unwrap()));
    raise(SIGUSR1);
    turn_until(&mut lp, |_| Rc::strong_count(&value) == 1);
    lp.close(other).unwrap();
    lp.run().unwrap();
}

/// A signal that came before a watcher was started is not for it.
#[test]
fn libuv_65_an_old_signal_is_not_for_a_new_watcher() {
    let _alone = alone();
    let mut lp = guarded();
    let first = lp.signal(SIGUSR1, |_, _, _| panic!("it was closed")).unwrap();
    raise(SIGUSR1);
    lp.close(first).unwrap();
    let second = lp.signal(SIGUSR1, |_, _, _| panic!("it came before")).unwrap();
    lp.timer(MS, move |cx, _| cx.close(second).unwrap());
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

/// Many signals while the loop works: none is lost, nothing hangs, however they meet
/// the poller. (A waker that takes a lock would, in time.)
#[test]
fn signals_in_a_busy_loop() {
    let _alone = alone();
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut feed, seen) = (theirs.try_clone().unwrap(), Rc::new(Cell::new(0)));
    feed.write_all(b"x").unwrap();
    lp.watch(file(ours), Interest::READABLE, move |_, _, source, ready| {
        drain(source, ready);
        feed.write_all(b"x").unwrap();
    })
    .unwrap();
    let s = seen.clone();
    lp.signal(SIGUSR1, move |_, _, _| s.set(s.get() + 1)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let raiser = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                raise(SIGUSR1);
            }
        })
    };
    turn_until(&mut lp, |_| seen.get() >= 2_000);
    stop.store(true, Ordering::Relaxed);
    raiser.join().unwrap();
    drop(theirs);
}

#[test]
fn libuv_65_a_number_that_is_none() {
    let mut lp = guarded();
    for number in [0, -1, 65, 1000, 9, 19] {
        let refused = lp.signal(number, |_, _, _| {});
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput, "{number}");
    }
    assert_eq!(handles(&lp), 0);
}
