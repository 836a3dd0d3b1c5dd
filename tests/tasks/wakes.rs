//! Who is woken, by whom, how often, and in which turn.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Wake, Waker};

use tidegate::prelude::*;
use tidegate::task::{Async, BlockOn, Dropped, NotOnLoop, oneshot, with};

use crate::support::*;

/// A task that gives its waker away, and is over when it is told to.
struct Shown {
    waker: Rc<RefCell<Option<Waker>>>,
    polls: Rc<Cell<u32>>,
    over: Rc<Cell<bool>>,
}

fn shown(lp: &mut Loop) -> Shown {
    let shown = Shown { waker: Rc::default(), polls: Rc::default(), over: Rc::default() };
    let (waker, polls, over) = (shown.waker.clone(), shown.polls.clone(), shown.over.clone());
    lp.spawn(poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        *waker.borrow_mut() = Some(cx.waker().clone());
        if over.get() { Poll::Ready(()) } else { Poll::Pending }
    }))
    .detach();
    lp.run_nowait().unwrap();
    assert_eq!(shown.polls.get(), 1);
    shown
}

#[test]
fn b02_many_wakes_before_a_poll_are_one() {
    let mut lp = guarded();
    let task = shown(&mut lp);
    let waker = task.waker.borrow().clone().unwrap();
    for _ in 0..10 {
        waker.wake_by_ref();
    }
    lp.run_nowait().unwrap();
    assert_eq!(task.polls.get(), 2);
    task.over.set(true);
    waker.wake_by_ref();
    lp.run().unwrap();
    waker.wake_by_ref();
    waker.wake();
    assert_eq!((lp.run_nowait().unwrap(), task.polls.get()), (false, 3), "it is over");
}

#[test]
fn b02_a_waker_outlives_its_loop() {
    let mut lp = guarded();
    let waker = shown(&mut lp).waker.borrow().clone().unwrap();
    let other = waker.clone();
    drop(lp);
    waker.wake();
    std::thread::spawn(move || other.wake()).join().unwrap();
}

#[test]
fn b02_a_wake_in_the_poll_comes_in_the_next_turn() {
    let mut lp = guarded();
    let turns = Rc::new(RefCell::new(Vec::new()));
    let seen = turns.clone();
    lp.spawn(poll_fn(move |cx| {
        seen.borrow_mut().push(with(|cx| cx.turn()).unwrap());
        cx.waker().wake_by_ref();
        cx.waker().wake_by_ref();
        if seen.borrow().len() < 4 { Poll::Pending } else { Poll::Ready(()) }
    }))
    .detach();
    lp.run().unwrap();
    assert_eq!(*turns.borrow(), [1, 2, 3, 4]);
    assert_eq!(lp.task_metrics().woken_while_polled, 3);
}

/// A wake of another task comes in the same pass, in the order of wakes.
#[test]
fn b05_a_wake_of_another_comes_in_the_same_turn() {
    let mut lp = guarded();
    let order = Log::default();
    let (sender, receiver) = oneshot::<u64>();
    let log = order.clone();
    lp.spawn(async move {
        let sent_in = receiver.await.unwrap();
        assert_eq!(with(|cx| cx.turn()).unwrap(), sent_in);
        log.add("woken");
    })
    .detach();
    let log = order.clone();
    lp.spawn(async move {
        sender.send(with(|cx| cx.turn()).unwrap()).unwrap();
        log.add("sent");
    })
    .detach();
    let log = order.clone();
    lp.spawn(async move { log.add("third") }).detach();
    lp.run_nowait().unwrap();
    assert_eq!(order.lines(), ["sent", "third", "woken"]);
}

#[test]
fn b08_a_million_wakes_from_8_threads() {
    const EACH: u64 = 125_000;
    let mut lp = guarded();
    let count = Arc::new(AtomicU64::new(0));
    let seen = count.clone();
    let mut threads = Vec::new();
    let all = lp.block_on(poll_fn(move |cx| {
        if threads.is_empty() {
            for _ in 0..8 {
                let (waker, count) = (cx.waker().clone(), count.clone());
                threads.push(std::thread::spawn(move || {
                    for _ in 0..EACH {
                        count.fetch_add(1, Ordering::Relaxed);
                        waker.wake_by_ref();
                    }
                }));
            }
        }
        match seen.load(Ordering::Relaxed) {
            all if all == 8 * EACH => Poll::Ready(all),
            _ => Poll::Pending,
        }
    }));
    assert_eq!(all.unwrap(), 8 * EACH, "the last wake was seen");
}

/// The same to a task, which is then polled at most once for each wake.
#[test]
fn b08_wakes_of_a_task_from_another_thread() {
    let mut lp = guarded();
    let count = Arc::new(AtomicU64::new(0));
    let (written, polls) = (count.clone(), Rc::new(Cell::new(0)));
    let counted = polls.clone();
    let mut started = false;
    let task = lp.spawn(poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        if !std::mem::replace(&mut started, true) {
            let (waker, count) = (cx.waker().clone(), written.clone());
            std::thread::spawn(move || {
                for _ in 0..100_000 {
                    count.fetch_add(1, Ordering::Relaxed);
                    waker.wake_by_ref();
                }
            });
        }
        if written.load(Ordering::Relaxed) == 100_000 { Poll::Ready(()) } else { Poll::Pending }
    }));
    lp.block_on(task).unwrap().unwrap();
    assert!(polls.get() <= 100_001);
}

/// A waker of the user's: its wake and its drop find the loop, and nothing of it is borrowed.
#[test]
fn b12_wakers_of_users_may_use_the_loop() {
    struct Mine(Waker);
    impl Wake for Mine {
        fn wake(self: Arc<Mine>) {
            with(|cx| cx.next_tick(|_| {})).unwrap();
            self.0.wake_by_ref();
        }
    }
    impl Drop for Mine {
        fn drop(&mut self) {
            assert_ne!(with(|cx| cx.turn()), Err(NotOnLoop::Lent));
        }
    }
    let mut lp = guarded();
    let mut sleep = tidegate::task::sleep(std::time::Duration::from_millis(1));
    lp.block_on(poll_fn(move |cx| {
        let waker = Waker::from(Arc::new(Mine(cx.waker().clone())));
        let sleep = std::pin::Pin::new(&mut sleep);
        // The same timer with two wakers: the first is dropped.
        let polled = sleep.poll(&mut std::task::Context::from_waker(&waker));
        if polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    }))
    .unwrap();
}

#[test]
fn b01_oneshot_values_and_ends() {
    let mut lp = guarded();
    let (sender, receiver) = oneshot();
    lp.next_tick(move |_| sender.send(7).unwrap());
    assert_eq!(lp.block_on(receiver).unwrap(), Ok(7));
    let (sender, receiver) = oneshot::<u32>();
    lp.next_tick(move |_| drop(sender));
    assert_eq!(lp.block_on(receiver).unwrap(), Err(Dropped));
    let (sender, receiver) = oneshot();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(1), Err(1));
}

#[test]
fn b01_with_lends_the_loop_once() {
    let mut lp = guarded();
    assert_eq!(with(|cx| cx.turn()), Err(NotOnLoop::Outside));
    lp.next_tick(|_| assert_eq!(with(|cx| cx.turn()), Err(NotOnLoop::Outside)));
    lp.block_on(async {
        let inner = with(|_| with(|cx| cx.turn()));
        assert_eq!(inner, Ok(Err(NotOnLoop::Lent)));
        assert!(with(|cx| cx.turn()).is_ok());
    })
    .unwrap();
}
