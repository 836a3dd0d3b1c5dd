//! Law 10 for futures: a panic in a poll, in a destructor or in a waker unwinds out of the run, and
//! the rest goes on.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tidegate::prelude::*;
use tidegate::task::{Async, BlockOn, JoinError, TaskOptions, oneshot, sleep, yield_now};

use crate::support::*;
use crate::{dropped, echo, server};

/// Not printed.
fn panic() -> ! {
    resume_unwind(Box::new("on purpose"))
}

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic()
    }
}

#[track_caller]
fn unwinds(lp: &mut Loop) {
    let ran = catch_unwind(AssertUnwindSafe(|| lp.run()));
    assert_eq!(ran.unwrap_err().downcast_ref(), Some(&"on purpose"));
}

fn panicked<T>() -> Result<T, JoinError> {
    Err(JoinError::Panicked { message: "on purpose".into() })
}

#[test]
fn b03_a_panic_in_a_poll_unwinds_and_the_others_go_on() {
    let mut lp = guarded();
    let (count, value) = dropped();
    let ran = Rc::new(Cell::new(0));
    let bad = lp.spawn(async move {
        let _value = value;
        yield_now().await;
        panic();
    });
    for _ in 0..3 {
        let ran = ran.clone();
        lp.spawn(async move {
            yield_now().await;
            ran.set(ran.get() + 1);
        })
        .detach();
    }
    unwinds(&mut lp);
    assert_eq!(count.get(), 1);
    lp.run().unwrap();
    assert_eq!((ran.get(), lp.metrics().panics), (3, 1));
    assert_eq!(lp.block_on(bad).unwrap(), panicked());
    assert_eq!((handles(&lp), lp.task_metrics().panicked), (0, 1));
}

/// Joined before, after, and never.
#[test]
fn b03_who_joins_is_told() {
    for joins_before in [true, false] {
        let mut lp = guarded();
        let bad = lp.spawn(async {
            yield_now().await;
            panic();
        });
        let joined = match joins_before {
            true => {
                let joined = lp.spawn(bad);
                unwinds(&mut lp);
                lp.block_on(joined).unwrap().unwrap()
            }
            false => {
                unwinds(&mut lp);
                lp.block_on(bad).unwrap()
            }
        };
        assert_eq!(joined, panicked());
    }
}

#[test]
fn b03_a_panic_that_is_caught_stays_in_its_task() {
    let mut lp = guarded();
    let options = || TaskOptions::new().catch_panics(true);
    let bad = lp.spawn_with(options(), async { panic() }).unwrap();
    lp.spawn_with(options(), async { panic() }).unwrap().detach();
    assert_eq!(lp.block_on(bad).unwrap(), panicked());
    lp.run().unwrap();
    assert_eq!((handles(&lp), lp.metrics().panics), (0, 0));
}

/// In the last poll, in the closing phase, in a result that nobody wants.
#[test]
fn b03_destructors_that_panic() {
    let mut lp = guarded();
    let last = lp.spawn(async { drop(Panics) });
    unwinds(&mut lp);
    assert_eq!(lp.block_on(last).unwrap(), panicked());

    let cancelled = lp.spawn(async {
        let _panics = Panics;
        pending::<()>().await
    });
    let other = lp.spawn(pending::<()>());
    lp.run_nowait().unwrap();
    drop((cancelled, other));
    unwinds(&mut lp);
    lp.run().unwrap();
    assert_eq!((handles(&lp), lp.task_metrics().tasks), (0, 0));

    lp.spawn(async { Panics }).detach();
    unwinds(&mut lp);
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

/// One destructor panics at the loop's end; the others run all the same.
#[test]
fn b03_a_destructor_that_panics_at_the_end() {
    let mut lp = Loop::new().unwrap();
    let counts = [(); 4].map(|()| {
        let (count, value) = dropped();
        lp.spawn(async move {
            let _both = (value, Panics);
            pending::<()>().await
        })
        .detach();
        count
    });
    lp.run_nowait().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(lp))).is_err());
    assert_eq!(counts.map(|count| count.get()), [1; 4]);
}

#[test]
fn b03_wakers_that_panic() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Bad>) {
            panic()
        }
    }
    let mut lp = guarded();
    let bad = Waker::from(Arc::new(Bad));
    // A timer, a task that ends, a socket.
    let mut timer = sleep(std::time::Duration::from_millis(1));
    let mut task = lp.spawn(yield_now());
    let polled = poll_fn(|_| {
        let cx = &mut Context::from_waker(&bad);
        assert!(std::pin::Pin::new(&mut timer).poll(cx).is_pending());
        assert!(std::pin::Pin::new(&mut task).poll(cx).is_pending());
        Poll::Ready(())
    });
    lp.block_on(polled).unwrap();
    unwinds(&mut lp);
    unwinds(&mut lp);
    lp.run().unwrap();
    assert_eq!(lp.block_on(async { (timer.await, task.await) }).unwrap(), ((), Ok(())));
}

/// A task that panics in the dispatch of its socket: the connection ends, the server lives.
#[test]
fn b03_a_panic_in_the_dispatch_of_a_socket() {
    let mut lp = guarded();
    let (key, at) = server(&mut lp, |socket| async move {
        let mut byte = [0];
        socket.read(&mut byte).await.unwrap();
        match byte[0] {
            b'!' => panic(),
            _ => {
                socket.write_all(&byte).await.unwrap();
                echo(socket).await.unwrap();
            }
        }
    });
    let (bad, good) = (client(at), client(at));
    write_all(&bad, b"!");
    unwinds(&mut lp);
    write_all(&good, b"tide");
    good.shutdown(std::net::Shutdown::Write).unwrap();
    lp.server(key).close().unwrap();
    lp.run().unwrap();
    assert_eq!((read_to_end(&good), read_to_end(&bad)), (b"tide".to_vec(), Vec::new()));
}

#[test]
fn b03_block_on_lets_the_panic_through_and_the_loop_goes_on() {
    let mut lp = guarded();
    let (sender, receiver) = oneshot();
    let blocked = catch_unwind(AssertUnwindSafe(|| {
        lp.block_on(async move {
            let _sender = sender;
            yield_now().await;
            panic();
        })
    }));
    assert!(blocked.is_err());
    let received: Result<u32, _> = lp.block_on(receiver).unwrap();
    assert!(received.is_err());
    assert_eq!(handles(&lp), 0);
}
