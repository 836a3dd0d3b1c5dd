//! Timers as futures: never early, moved, dropped, polled by several tasks.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tidegate::prelude::*;
use tidegate::task::{
    Async, BlockOn, Elapsed, Sleep, blocking, oneshot, sleep, sleep_until, spawn, timeout, with,
    yield_now,
};

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn b27_never_early_and_in_order() {
    let (mut lp, _script) = scripted();
    let log = Log::default();
    for after in [30, 10, 20] {
        let log = log.clone();
        lp.spawn(async move {
            let begun = with(|cx| cx.driver().clock()).unwrap();
            sleep(after * MS).await;
            let took = with(|cx| cx.driver().clock()).unwrap() - begun;
            assert!(took >= after * MS, "{took:?}");
            log.add(after.to_string());
        })
        .detach();
    }
    lp.run().unwrap();
    assert_eq!(log.lines(), ["10", "20", "30"]);
    assert_eq!(handles(&lp), 0);
}

/// The time counts from the call, not from the first poll.
#[test]
fn b27_it_counts_from_the_call() {
    let (mut lp, script) = scripted();
    lp.block_on(async {
        let timer = sleep(10 * MS);
        script.advance(10 * MS);
        let turn = with(|cx| cx.turn()).unwrap();
        timer.await;
        assert_eq!(with(|cx| cx.turn()).unwrap(), turn, "it was due already");
    })
    .unwrap();
    let end = Instant::now() + 2 * MS;
    Loop::new().unwrap().block_on(sleep_until(end)).unwrap();
    assert!(Instant::now() >= end);
}

#[test]
fn b27_reset_moves_it() {
    let (mut lp, _script) = scripted();
    let took = |lp: &mut Loop, moves: fn(&mut Sleep)| {
        lp.block_on(async {
            let begun = with(|cx| cx.driver().clock()).unwrap();
            let mut timer = sleep(50 * MS);
            let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut timer).poll(cx))).await;
            assert!(first.is_pending() && !timer.is_elapsed());
            moves(&mut timer);
            (&mut timer).await;
            assert!(timer.is_elapsed());
            (&mut timer).await; // ready again
            with(|cx| cx.driver().clock()).unwrap() - begun
        })
        .unwrap()
    };
    let earlier = took(&mut lp, |timer| timer.reset(5 * MS));
    assert!((5 * MS..40 * MS).contains(&earlier), "{earlier:?}");
    let later = took(&mut lp, |timer| timer.reset(80 * MS));
    assert!(later >= 80 * MS, "{later:?}");
    assert_eq!(handles(&lp), 0);
}

/// Moved after it was ready, and where there is no loop.
#[test]
fn b27_reset_at_other_times() {
    let (mut lp, _script) = scripted();
    let mut timer = sleep(MS);
    lp.block_on(&mut timer).unwrap();
    timer.reset(20 * MS);
    assert!(!timer.is_elapsed());
    let begun = lp.cx().driver().clock();
    lp.block_on(&mut timer).unwrap();
    assert!(lp.cx().driver().clock() - begun >= 20 * MS);
    // Started, then moved to later from outside: it comes up too early, and waits on.
    let mut timer = sleep(5 * MS);
    lp.block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut timer).poll(cx).is_pending()))).unwrap();
    timer.reset(60 * MS);
    let begun = lp.cx().driver().clock();
    lp.block_on(&mut timer).unwrap();
    assert!(lp.cx().driver().clock() - begun >= 60 * MS);
    drop(timer);
    assert_eq!(handles(&lp), 0);
}

#[test]
fn b27_dropping_ends_the_timer() {
    let (mut lp, _script) = scripted();
    let _alive = lp.keep_alive("test").unwrap();
    let none = lp.backend_timeout().unwrap();
    let mut timer = sleep(DEADLINE / 2);
    lp.block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut timer).poll(cx).is_pending()))).unwrap();
    assert!(lp.backend_timeout().unwrap() < none);
    drop(timer); // outside of the run
    lp.run_nowait().unwrap();
    assert_eq!(lp.backend_timeout(), Some(none));
    let task = lp.spawn(sleep(DEADLINE / 2));
    lp.run_nowait().unwrap();
    assert!(lp.backend_timeout().unwrap() < none);
    drop(task);
    lp.run_nowait().unwrap();
    assert_eq!(lp.backend_timeout(), Some(none));
}

/// `close_all` ends tasks. What waits on is the future of `block_on`, which cannot be closed.
#[test]
fn b27_close_all_ends_no_sleep() {
    let (mut lp, _script) = Loop::scripted().unwrap();
    lp.cx().internal_timer(DEADLINE, |_, _| panic!("it is not woken"));
    let task = lp.spawn(sleep(10 * MS));
    lp.after(5 * MS, |cx| cx.close_all());
    let begun = lp.cx().driver().clock();
    lp.block_on(sleep(10 * MS)).unwrap();
    assert_eq!(lp.cx().driver().clock() - begun, 10 * MS);
    assert!(task.is_finished());
    assert_eq!(lp.task_metrics().cancelled, 1);
}

/// Polled by one task, then by another: the last is woken.
#[test]
fn b27_polled_by_two_tasks() {
    let mut lp = guarded();
    let (sender, receiver) = oneshot();
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    lp.spawn(async move {
        let mut timer = sleep(5 * MS);
        poll_fn(|cx| Poll::Ready(Pin::new(&mut timer).poll(cx).is_pending())).await;
        let _ = sender.send(timer);
        poll_fn(|_| {
            counted.set(counted.get() + 1);
            Poll::<()>::Pending
        })
        .await;
    })
    .detach();
    lp.block_on(async { receiver.await.unwrap().await }).unwrap();
    assert_eq!(polls.get(), 1, "the first was not woken by it");
    lp.close_all();
    lp.run().unwrap();
}

#[test]
fn b27_timeouts() {
    let (mut lp, _script) = scripted();
    lp.block_on(async {
        assert_eq!(timeout(5 * MS, std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout(5 * MS, async { 1 }).await, Ok(1));
        // Both are due at once: the value counts.
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        let slow = spawn(sleep(50 * MS)).unwrap();
        assert!(timeout(5 * MS, slow).await.is_err(), "and the task was cancelled");
    })
    .unwrap();
    lp.run().unwrap();
    assert_eq!((handles(&lp), lp.task_metrics().cancelled), (0, 1));
}

/// Elsewhere there is no clock: it is not ready, and does no harm.
#[test]
fn b27_polled_without_a_loop() {
    let mut timer = sleep(Duration::ZERO);
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut timer).poll(cx).is_pending());
    assert!(Pin::new(&mut timer).poll(cx).is_pending());
    guarded().block_on(timer).unwrap();
}

/// Wakes nobody; notes that it was called.
#[derive(Default)]
struct Noted(AtomicBool);

impl Wake for Noted {
    fn wake(self: Arc<Noted>) {
        self.0.store(true, Relaxed);
    }
}

/// In a task of another loop it is not ready, and takes nothing that belongs to that loop; also if
/// it was due long ago by the clock of that loop.
#[test]
fn b27_polled_in_another_loop() {
    let ((mut one, _script), (mut other, script)) = (scripted(), scripted());
    script.advance(DEADLINE / 2);
    let mut started = sleep(5 * MS);
    one.block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut started).poll(cx).is_pending()))).unwrap();
    let mut made = one.block_on(poll_fn(|_| Poll::Ready(sleep(5 * MS)))).unwrap();
    let noted = Arc::new(Noted::default());
    let waker = Waker::from(noted.clone());
    let result = other.block_on(async {
        // The first answer of this loop, as the sleep is of the other one.
        let mut job = pin!(blocking(|| 7));
        assert!(job.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        while !noted.0.load(Relaxed) {
            yield_now().await;
        }
        for timer in [&mut started, &mut made] {
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *timer).poll(cx))).await;
            assert!(polled.is_pending() && !timer.is_elapsed());
            timer.reset(5 * MS);
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *timer).poll(cx))).await;
            assert!(polled.is_pending());
        }
        job.await
    });
    assert_eq!(result.unwrap().unwrap(), 7);
    let begun = one.cx().driver().clock();
    one.block_on(async { (started.await, made.await) }).unwrap();
    assert!(one.cx().driver().clock() - begun >= 5 * MS, "it was moved where it has no clock");
    assert_eq!((handles(&one), handles(&other)), (0, 0));
}
