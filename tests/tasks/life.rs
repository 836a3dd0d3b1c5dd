//! Tasks are spawned, joined, detached, cancelled; and what is left when the loop ends.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use tidegate::prelude::*;
use tidegate::task::{
    Async, BlockOn, JoinError, NotOnLoop, Task, TaskOptions, oneshot, spawn, with, yield_now,
};

use crate::support::*;
use crate::{Dropped, dropped, run};

#[test]
fn b01_a_task_runs_later_and_is_joined() {
    let mut lp = guarded();
    let ran = Rc::new(Cell::new(false));
    let set = ran.clone();
    let task = lp.spawn(async move {
        set.set(true);
        42
    });
    assert!(!ran.get() && !task.is_finished(), "nothing runs in the call");
    assert_eq!(lp.block_on(task).unwrap(), Ok(42));
    assert!(ran.get());
    assert_eq!(handles(&lp), 0);
}

#[test]
fn b01_a_detached_task_runs_to_its_end_and_its_result_is_dropped() {
    let mut lp = guarded();
    let (count, value) = dropped();
    lp.spawn(async move {
        yield_now().await;
        value
    })
    .detach();
    assert_eq!(count.get(), 0);
    lp.run().unwrap();
    assert_eq!((count.get(), handles(&lp)), (1, 0));
}

/// Before it ran, after it waited, and in its own poll; from outside, from a callback, from a task.
#[test]
fn b01_dropping_or_cancelling_ends_a_task() {
    for waits in [false, true] {
        for cancels in [false, true] {
            let mut lp = guarded();
            let (count, value) = dropped();
            let polls = Rc::new(Cell::new(0));
            let seen = polls.clone();
            let task = lp.spawn(async move {
                let _value = value;
                seen.set(seen.get() + 1);
                pending::<()>().await;
            });
            if waits {
                lp.run_nowait().unwrap();
            }
            assert_eq!((polls.get(), count.get()), (u32::from(waits), 0));
            if cancels {
                task.cancel();
                task.cancel();
                assert!(task.is_finished());
                assert_eq!(count.get(), 0, "not inside of the call");
                assert_eq!(lp.block_on(task).unwrap(), Err(JoinError::Cancelled));
            } else {
                drop(task);
                lp.run().unwrap();
            }
            assert_eq!((polls.get(), count.get()), (u32::from(waits), 1));
            assert_eq!((handles(&lp), lp.task_metrics().cancelled), (0, 1));
        }
    }
}

#[test]
fn b01_a_task_cancels_itself_and_is_dropped_in_the_closing_phase() {
    let mut lp = guarded();
    let phase = Rc::new(RefCell::new(Vec::new()));
    struct Phase(Rc<RefCell<Vec<tidegate::Phase>>>);
    impl Drop for Phase {
        fn drop(&mut self) {
            self.0.borrow_mut().push(with(|cx| cx.phase()).unwrap());
        }
    }
    let value = Phase(phase.clone());
    let own = Rc::new(RefCell::new(None::<Task<()>>));
    let mine = own.clone();
    let task = lp.spawn(async move {
        let _value = value;
        mine.borrow().as_ref().unwrap().cancel();
        pending::<()>().await;
    });
    *own.borrow_mut() = Some(task);
    lp.run().unwrap();
    assert_eq!(*phase.borrow(), [tidegate::Phase::Closing]);
    let task = own.borrow_mut().take().unwrap();
    assert_eq!(lp.block_on(task).unwrap(), Err(JoinError::Cancelled));
}

/// A task that returns from the poll in which it was cancelled has finished.
#[test]
fn b01_cancelled_in_its_last_poll() {
    let mut lp = guarded();
    let own = Rc::new(RefCell::new(None::<Task<u32>>));
    let mine = own.clone();
    let task = lp.spawn(async move {
        mine.borrow().as_ref().unwrap().cancel();
        7
    });
    *own.borrow_mut() = Some(task);
    lp.run_nowait().unwrap();
    let task = own.borrow_mut().take().unwrap();
    assert_eq!(lp.block_on(task).unwrap(), Ok(7));
    assert_eq!((handles(&lp), lp.task_metrics().tasks), (0, 0));
}

#[test]
fn b01_closing_by_its_key_cancels_it_and_close_all_cancels_all() {
    let mut lp = guarded();
    let (count, value) = dropped();
    let one = lp.spawn(async move {
        let _value = value;
        pending::<()>().await
    });
    let other = lp.spawn(pending::<()>());
    lp.close(one.key()).unwrap();
    assert_eq!(lp.close(one.key()), Err(tidegate::KeyError::Closed));
    assert_eq!((count.get(), lp.cx().is_closing(one.key())), (0, true));
    lp.close_all();
    assert_eq!(lp.block_on(one).unwrap(), Err(JoinError::Cancelled));
    assert_eq!(lp.block_on(other).unwrap(), Err(JoinError::Cancelled));
    assert_eq!(count.get(), 1);
}

/// What was dropped elsewhere: in a callback, and on another thread.
#[test]
fn b01_dropped_elsewhere() {
    for thread in [false, true] {
        let mut lp = guarded();
        let (count, value) = dropped();
        let task = lp.spawn(async move {
            let _value = value;
            pending::<()>().await
        });
        let stay = lp.keep_alive("the thread").unwrap();
        if thread {
            std::thread::spawn(move || drop((task, stay)));
        } else {
            lp.next_tick(move |_| drop((task, stay)));
        }
        lp.run().unwrap();
        assert_eq!(count.get(), 1);
    }
}

#[test]
fn b04_the_loop_ends_with_its_tasks() {
    let (count, value) = dropped();
    let mut lp = Loop::new().unwrap();
    let waits = lp.spawn(async move {
        let _value = value;
        pending::<()>().await
    });
    let finished = lp.spawn(async { Box::new(1) });
    lp.run_nowait().unwrap();
    assert!(finished.is_finished());
    drop(lp);
    assert_eq!(count.get(), 1);
    let mut other = guarded();
    let gone = || Err(JoinError::NotOnLoop(NotOnLoop::Gone));
    assert_eq!(other.block_on(waits).unwrap(), gone());
    assert_eq!(other.block_on(finished).unwrap().map(|_| ()), gone());
}

/// Destructors at the loop's end find no loop, and may wake and drop what they like.
#[test]
fn b05_destructors_at_the_end() {
    struct Last(Option<Task<()>>, Option<tidegate::task::Sender<u32>>, Rc<Cell<u32>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.2.set(self.2.get() + 1);
            assert_eq!(with(|cx| cx.turn()), Err(NotOnLoop::Outside));
            assert!(spawn(async {}).is_err());
            drop(self.0.take());
            if let Some(sender) = self.1.take() {
                let _ = sender.send(1);
            }
        }
    }
    let count = Rc::new(Cell::new(0));
    let mut lp = Loop::new().unwrap();
    let (sender, receiver) = oneshot();
    let inner = lp.spawn(async move { assert!(receiver.await.is_ok()) });
    let last = Last(Some(inner), Some(sender), count.clone());
    lp.spawn(async move {
        let _last = last;
        pending::<()>().await
    })
    .detach();
    lp.run_nowait().unwrap();
    drop(lp);
    assert_eq!(count.get(), 1);
}

/// In a value of a thread that ends, after the loop and before it.
#[test]
fn b05_a_task_in_a_thread_local_value() {
    thread_local!(static KEPT: RefCell<Vec<(Option<Loop>, Task<()>)>> = const { RefCell::new(Vec::new()) });
    std::thread::spawn(|| {
        for with_loop in [true, false] {
            let mut lp = Loop::new().unwrap();
            let task = lp.spawn(pending::<()>());
            lp.run_nowait().unwrap();
            KEPT.with_borrow_mut(|kept| kept.push((with_loop.then_some(lp), task)));
        }
    })
    .join()
    .unwrap();
}

#[test]
fn b05_tasks_spawn_tasks_and_join_them_elsewhere() {
    let mut lp = guarded();
    let sum = run(&mut lp, async {
        let outer = spawn(async {
            let inner = spawn(async {
                yield_now().await;
                20
            })?;
            Ok::<_, NotOnLoop>(inner)
        })?;
        let inner = outer.await?.unwrap();
        let other = spawn(async move { inner.await.unwrap() + 1 })?;
        Ok(other.await? * 2)
    });
    assert_eq!(sum, 42);
}

#[test]
fn b12_destructors_spawn_and_wake() {
    struct Spawns(Rc<Cell<u32>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let ran = self.0.clone();
            spawn(async move { ran.set(ran.get() + 1) }).unwrap().detach();
        }
    }
    let mut lp = guarded();
    let ran = Rc::new(Cell::new(0));
    // At the end of a task, and of one that is cancelled.
    let (one, other) = (Spawns(ran.clone()), Spawns(ran.clone()));
    lp.spawn(async move { drop(one) }).detach();
    let cancelled = lp.spawn(async move {
        let _other = other;
        pending::<()>().await
    });
    lp.run_nowait().unwrap();
    drop(cancelled);
    lp.run().unwrap();
    assert_eq!(ran.get(), 2);
}

#[test]
fn b12_a_task_closes_its_own_key() {
    let mut lp = guarded();
    let (count, value) = dropped();
    let key = Rc::new(Cell::new(None));
    let own = key.clone();
    let task = lp.spawn(async move {
        let _value: Dropped = value;
        with(|cx| cx.close(own.get().unwrap())).unwrap().unwrap();
        pending::<()>().await
    });
    key.set(Some(task.key()));
    assert_eq!(lp.block_on(task).unwrap(), Err(JoinError::Cancelled));
    assert_eq!(count.get(), 1);
}

#[test]
fn b13_why_alive_names_the_task() {
    let mut lp = guarded();
    let options = TaskOptions::new().name("tide table");
    let task = lp.spawn_with(options, pending::<()>()).unwrap();
    let line = lp.why_alive()[0].to_string();
    assert!(line.contains("'tide table' at tests/tasks/life.rs:"), "{line}");
    assert!(line.contains("0 polls, not polled yet"), "{line}");
    lp.run_nowait().unwrap();
    let line = lp.why_alive()[0].to_string();
    assert!(line.starts_with("task ") && line.contains(", 1 poll, waiting "), "{line}");
    drop(task);
    lp.run().unwrap();
}

#[test]
fn b13_a_task_without_the_flag_keeps_no_loop_alive() {
    let mut lp = guarded();
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    let options = || TaskOptions::new().keep_alive(false);
    // One that waits, one that is always ready, and one that sleeps.
    lp.spawn_with(options(), pending::<()>()).unwrap().detach();
    let always = poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    lp.spawn_with(options(), always).unwrap().detach();
    lp.spawn_with(options(), tidegate::task::sleep(DEADLINE)).unwrap().detach();
    lp.run().unwrap();
    assert_eq!((polls.get() > 0, lp.why_alive().len()), (true, 0));
    lp.close_all();
    lp.run_nowait().unwrap();
}

/// A task is the value of a key: other loops, other tasks, later handles are not it.
#[test]
fn b01_a_task_of_another_loop_is_an_error() {
    let (mut a, mut b) = (guarded(), guarded());
    let task = a.spawn(async { 1 });
    let foreign = Err(JoinError::NotOnLoop(NotOnLoop::Foreign));
    b.spawn(async {}).detach();
    b.run().unwrap();
    assert_eq!(b.block_on(task).unwrap(), foreign);
    assert_eq!(a.block_on(async { 2 }).unwrap(), 2);
}
