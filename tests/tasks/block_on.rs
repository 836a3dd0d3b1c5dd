//! `block_on`: it runs everything, borrows what it likes, and says when nothing can wake it.

use std::future::{pending, poll_fn};
use std::task::{Poll, Waker};
use std::time::Duration;

use tidegate::prelude::*;
use tidegate::task::{
    Async, AsyncListener, BlockOn, BlockOnError, connect, oneshot, sleep, spawn, with, yield_now,
};

use crate::support::*;
use crate::{echo, run, server};

fn alive(e: BlockOnError) -> Vec<String> {
    match e {
        BlockOnError::Stalled { alive } => alive.into_iter().map(|h| h.to_string()).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn b06_other_tasks_and_callbacks_run_meanwhile_and_stay() {
    let mut lp = guarded();
    let log = Log::default();
    let (one, two) = (log.clone(), log.clone());
    lp.spawn(async move {
        for n in 0..100 {
            one.add(format!("task {n}"));
            yield_now().await;
        }
    })
    .detach();
    lp.after(Duration::ZERO, move |_| two.add("timer"));
    let text = String::from("borrowed");
    let len = lp.block_on(async {
        sleep(Duration::from_millis(1)).await;
        text.len()
    });
    assert_eq!(len.unwrap(), 8);
    assert!(log.has("task 0") && log.has("timer"));
    lp.run().unwrap();
    assert!(log.has("task 99"));
}

/// Each future that wakes itself is polled once in a turn: also those of a set.
#[test]
fn b06_self_waking_futures_are_fair() {
    let mut lp = guarded();
    let turns = |lp: &mut Loop| lp.metrics().turns;
    let before = turns(&mut lp);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            lp.spawn(async {
                for _ in 0..20 {
                    yield_now().await;
                }
            })
        })
        .collect();
    lp.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    })
    .unwrap();
    assert!((20..=24).contains(&(turns(&mut lp) - before)), "{}", turns(&mut lp) - before);
}

/// A loop in the poll of another one's task.
#[test]
fn b06_a_loop_in_a_loop() {
    let mut outer = guarded();
    let sum = outer.block_on(async {
        let here = spawn(async { 1 }).unwrap();
        let there = Loop::new().unwrap().block_on(async { spawn(async { 2 }).unwrap().await });
        here.await.unwrap() + there.unwrap().unwrap()
    });
    assert_eq!(sum.unwrap(), 3);
}

#[test]
fn b14_nothing_is_left_that_could_wake_it() {
    let mut lp = Loop::new().unwrap();
    assert_eq!(alive(lp.block_on(pending::<()>()).unwrap_err()), [""; 0]);
    let (_sender, receiver) = oneshot::<u32>();
    assert_eq!(alive(lp.block_on(receiver).unwrap_err()), [""; 0]);
    // It is over in a turn in which the last handle ends.
    lp.after(Duration::from_millis(1), |_| {});
    assert_eq!(alive(lp.block_on(pending::<()>()).unwrap_err()), [""; 0]);
    assert_eq!((lp.handles(), lp.block_on(async { 1 }).unwrap()), (0, 1));
}

/// Two tasks, each of which waits for the other.
#[test]
fn b14_tasks_that_wait_for_each_other() {
    let mut lp = Loop::new().unwrap();
    let (to_one, one) = oneshot::<u32>();
    let (to_other, other) = oneshot::<u32>();
    let first = lp.spawn(async move {
        let n = one.await.unwrap();
        to_other.send(n).unwrap();
    });
    let second = lp.spawn(async move {
        let n = other.await.unwrap();
        to_one.send(n).unwrap();
    });
    let stalled = alive(lp.block_on(async { (first.await, second.await) }).unwrap_err());
    assert_eq!(stalled.len(), 2, "{stalled:?}");
    assert!(stalled[0].contains("tests/tasks/block_on.rs"), "{stalled:?}");
    lp.run().unwrap(); // both were cancelled
}

/// A thread, a timer, a socket and a waker that somebody keeps may wake it.
#[test]
fn b14_it_waits_for_what_may_come() {
    let mut lp = Loop::new().unwrap();
    let mut sent = false;
    let woken = lp.block_on(poll_fn(move |cx| {
        if std::mem::replace(&mut sent, true) {
            return Poll::Ready(());
        }
        let waker: Waker = cx.waker().clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            waker.wake();
        });
        Poll::Pending
    }));
    woken.unwrap();
    lp.block_on(sleep(Duration::from_millis(1))).unwrap();
    let (key, at) = server(&mut lp, echo);
    run(&mut lp, async {
        let socket = connect(at).await?;
        socket.write_all(b"x").await?;
        assert_eq!(socket.read(&mut [0; 8]).await?, 1);
        Ok(())
    });
    lp.server(key).close().unwrap();
    lp.run().unwrap();
}

/// A server whose listener keeps the loop alive: it waits, and is no reason to give up.
#[test]
fn b14_a_task_that_waits_for_a_server() {
    let mut lp = guarded();
    let listener = AsyncListener::bind_in(&mut *lp, "127.0.0.1:0").unwrap();
    let mut listener = listener;
    let at = lp.server(listener.key()).local_addr().unwrap();
    let joined = std::thread::spawn(move || client(at));
    run(&mut lp, async move { listener.accept().await.map(|_| ()) });
    drop(joined.join().unwrap());
    lp.run().unwrap();
}

/// By a callback, by a task, by the future itself. The loop can run again.
#[test]
fn b14_a_loop_that_is_stopped() {
    let mut lp = guarded();
    let stopped = |done: Result<(), BlockOnError>| {
        let e = done.unwrap_err();
        assert!(matches!(e, BlockOnError::Stopped), "{e:?}");
        assert_eq!(e.to_string(), "the loop was stopped");
    };
    lp.after(Duration::from_millis(1), |cx| cx.stop());
    stopped(lp.block_on(pending()));
    lp.spawn(async { with(|cx| cx.stop()).unwrap() }).detach();
    stopped(lp.block_on(pending()));
    stopped(lp.block_on(async {
        with(|cx| cx.stop()).unwrap();
        pending().await
    }));
    lp.stop();
    stopped(lp.block_on(pending()));
    lp.block_on(yield_now()).unwrap();
    assert!(!lp.was_stopped());
}

/// Ready and stopped in one turn: the result is not lost.
#[test]
fn b14_a_result_beats_the_stop() {
    let mut lp = guarded();
    let (sender, receiver) = oneshot();
    lp.next_tick(|cx| {
        sender.send(7).unwrap();
        cx.stop();
    });
    assert_eq!(lp.block_on(receiver).unwrap(), Ok(7));
    assert!(lp.was_stopped());
}
