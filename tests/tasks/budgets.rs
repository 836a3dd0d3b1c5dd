//! Nobody holds the loop: tasks that are always ready, many tasks, many wakes, endless readers.
//! Counted in turns and polls, not in time.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use tidegate::prelude::*;
use tidegate::task::{Async, AsyncLimits, BlockOn, spawn, with, yield_now};

use crate::support::*;
use crate::{echo, run, server};

/// A task that is always ready is polled once in a turn; a timer that is due comes in that turn.
#[test]
fn b10_a_task_that_is_always_ready() {
    let (mut lp, script) = scripted();
    let polls = Rc::new(Cell::new(0_u64));
    let counted = polls.clone();
    lp.spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    })
    .detach();
    let fired = Rc::new(Cell::new(0));
    let seen = fired.clone();
    lp.interval(Duration::from_millis(10), move |_, _| seen.set(seen.get() + 1));
    for turn in 1..=50 {
        script.advance(Duration::from_millis(10));
        lp.run_nowait().unwrap();
        assert_eq!((polls.get(), fired.get()), (turn, turn));
    }
    lp.close_all();
    lp.run_nowait().unwrap();
}

/// And a connection is served beside it, an echo in few turns.
#[test]
fn b10_sockets_go_on_beside_it() {
    let mut lp = guarded();
    let (_, at) = server(&mut lp, echo);
    lp.spawn(async {
        loop {
            yield_now().await;
        }
    })
    .detach();
    let turns = run(&mut lp, async move {
        let socket = tidegate::task::connect(at).await?;
        let before = with(|cx| cx.turn())?;
        for _ in 0..100 {
            socket.write_all(b"tide").await?;
            let mut answer = [0; 4];
            assert_eq!(socket.read(&mut answer).await?, 4);
        }
        Ok(with(|cx| cx.turn())? - before)
    });
    println!("{turns} turns for 100 echoes");
    lp.close_all();
    lp.run().unwrap();
}

/// 10,000 tasks that are woken at once: a turn polls as many as its budget says, in order, and the
/// timer comes after the first of these turns.
#[test]
fn b07_ten_thousand_tasks_take_turns() {
    const TASKS: usize = 10_000;
    let (mut lp, script) = scripted();
    let budget = lp.limits().notify_budget as u64;
    let order = Rc::new(std::cell::RefCell::new(Vec::new()));
    for n in 0..TASKS {
        let order = order.clone();
        lp.spawn(async move { order.borrow_mut().push(n) }).detach();
    }
    let at = Rc::new(Cell::new(0));
    let seen = at.clone();
    lp.after(Duration::from_millis(1), move |cx| seen.set(cx.task_metrics().polls));
    script.advance(Duration::from_millis(1));
    lp.run_nowait().unwrap();
    // What was detached outside of a task takes a place as well.
    assert_eq!((at.get(), lp.task_metrics().polls), (budget - 1, budget - 1));
    lp.run().unwrap();
    assert_eq!(*order.borrow(), (0..TASKS).collect::<Vec<_>>());
    assert!(lp.metrics().notified_carried_over >= (TASKS as u64 / budget) - 1);
}

/// Threads wake 10,000 tasks for as long as the test runs: a timer and a socket have their turn.
#[test]
fn b10_a_flood_of_remote_wakes() {
    let mut lp = guarded();
    let wakers = Rc::new(std::cell::RefCell::new(Vec::<Waker>::new()));
    for _ in 0..10_000 {
        let wakers = wakers.clone();
        let mut kept = false;
        lp.spawn(poll_fn(move |cx| {
            if !std::mem::replace(&mut kept, true) {
                wakers.borrow_mut().push(cx.waker().clone());
            }
            Poll::<()>::Pending
        }))
        .detach();
    }
    turn_until(&mut lp, |_| wakers.borrow().len() == 10_000);
    let stop = Arc::new(AtomicBool::new(false));
    let all = Arc::new(wakers.take());
    let threads = [(); 2].map(|()| {
        let (stop, all) = (stop.clone(), all.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                all.iter().for_each(Waker::wake_by_ref);
            }
        })
    });
    let (_, at) = server(&mut lp, echo);
    let budget = u64::from(lp.limits().notify_budget);
    let socket = run(&mut lp, async move {
        let socket = tidegate::task::connect(at).await?;
        for _ in 0..20 {
            let (before, turn) = with(|cx| (cx.task_metrics().polls, cx.turn()))?;
            socket.write_all(b"tide").await?;
            assert_eq!(socket.read(&mut [0; 4]).await?, 4);
            let (after, end) = with(|cx| (cx.task_metrics().polls, cx.turn()))?;
            assert!(
                after - before <= (budget + 8) * (end - turn + 1),
                "within the budget of turns"
            );
        }
        Ok(socket)
    });
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|t| t.join().unwrap());
    drop((socket, all));
    lp.close_all();
    lp.run().unwrap();
}

/// A task that reads a byte at a time is stopped after so many operations, and goes on.
#[test]
fn b11_an_endless_reader_yields() {
    const BYTES: usize = 20_000;
    let mut lp = Loop::builder().limits(AsyncLimits::new().operations(100)).build().unwrap();
    let (_, at) = server(&mut lp, |socket| async move {
        socket.write_all(&[7; BYTES]).await.unwrap();
        socket.shutdown().await.unwrap();
        pending::<()>().await;
    });
    let (mut guard, _) = (guard(lp), ());
    let lp = &mut *guard;
    let reader = lp.spawn(async move {
        let socket = tidegate::task::connect(at).await.unwrap();
        // All of it is here before the first read.
        socket.with(|s| s.pause()).unwrap();
        while socket.with(|s| s.queues().unwrap().receive).unwrap() != Some(BYTES as u64) {
            yield_now().await;
        }
        let before = with(|cx| cx.task_metrics()).unwrap();
        let mut all = 0;
        while socket.read(&mut [0]).await.unwrap() > 0 {
            all += 1;
        }
        let after = with(|cx| cx.task_metrics()).unwrap();
        (all, after.budget_spent - before.budget_spent)
    });
    let (all, spent) = lp.block_on(reader).unwrap().unwrap();
    assert_eq!(all, BYTES);
    assert!((150..=201).contains(&spent), "{spent} times in 20,000 operations");
    lp.close_all();
    lp.run().unwrap();
}

/// The bytes of one poll have a bound, too.
#[test]
fn b11_bytes_have_a_budget() {
    let lp = Loop::builder().limits(AsyncLimits::new().poll_bytes(10_000)).build().unwrap();
    let mut lp = guard(lp);
    let (_, at) = server(&mut lp, |socket| async move {
        socket.write_all(&[7; 100_000]).await.unwrap();
    });
    let spent = run(&mut lp, async move {
        let socket = tidegate::task::connect(at).await?;
        let mut all = 0;
        loop {
            match socket.read(&mut [0; 1_000]).await? {
                0 => break,
                n => all += n,
            }
        }
        assert_eq!(all, 100_000);
        Ok(with(|cx| cx.task_metrics().budget_spent)?)
    });
    assert!(spent >= 5, "{spent}");
    lp.close_all();
    lp.run().unwrap();
}

/// A chain of tasks, each of which spawns the next, does not hold the loop.
#[test]
fn b07_a_chain_of_spawns() {
    fn next(left: Rc<Cell<u64>>) {
        left.set(left.get() + 1);
        let again = left.clone();
        spawn(async move { next(again) }).unwrap().detach();
    }
    let mut lp = guarded();
    let spawned = Rc::new(Cell::new(0));
    let first = spawned.clone();
    lp.spawn(async move { next(first) }).detach();
    let budget = u64::from(lp.limits().notify_budget);
    for turn in 1..=3 {
        lp.run_nowait().unwrap();
        // What was detached outside of a task takes a place in the first.
        assert_eq!(spawned.get(), turn * budget - 1);
    }
    lp.close_all();
    lp.run().unwrap();
}
