//! What a task costs: allocations of a spawn, a poll, a wake and an echo; system calls of an echo.

use std::io::Read;

use tidegate::prelude::*;
use tidegate::task::{AcceptAsync, Async, AsyncSocket, sleep, yield_now};

use crate::allocation;
use crate::support::*;

async fn echo(socket: AsyncSocket) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = socket.read(&mut buffer).await {
        if socket.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// A loop with a server that echoes in tasks, and a client.
fn served() -> (Guarded, std::net::TcpStream) {
    let mut lp = guarded();
    let server = lp.listen("127.0.0.1:0", |conn| {
        conn.accept_spawn(echo).unwrap();
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    (lp, client(at))
}

#[test]
fn b15_a_spawn_allocates_twice_and_a_poll_nothing() {
    let mut lp = guarded();
    let spawned = |lp: &mut Loop, tasks: u64| {
        let before = allocation::calls();
        for _ in 0..tasks {
            lp.spawn(async {
                for _ in 0..10 {
                    yield_now().await;
                }
            })
            .detach();
        }
        let spawned = allocation::calls();
        while lp.run_nowait().unwrap() {}
        (spawned - before, allocation::calls() - spawned)
    };
    // Slabs and queues find their size.
    spawned(&mut lp, 100);
    spawned(&mut lp, 100);
    assert_eq!(spawned(&mut lp, 100), (200, 0), "spawning, and 1,100 polls");
}

/// A timer has its closure in a box, and no more. A sleep that is over at its first poll, as on a
/// machine that was busy meanwhile, needs no timer.
#[test]
fn b15_a_sleep_allocates_once() {
    let mut lp = guarded();
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = count.clone();
    lp.spawn(async move {
        for n in 0..110 {
            let before = allocation::calls();
            sleep(std::time::Duration::from_millis(1)).await;
            let during = allocation::calls() - before;
            if n >= 10 {
                assert!(during <= 1, "{during} allocations in one sleep");
                counted.set(counted.get() + during);
            }
        }
    })
    .detach();
    lp.run().unwrap();
    assert!(count.get() >= 50, "{} in 100 sleeps", count.get());
}

#[test]
fn b15_an_echo_by_a_task_allocates_nothing() {
    let (mut lp, mut c) = served();
    let mut echo = |lp: &mut Loop| {
        write_all(&c, &[7; 64]);
        let before = allocation::calls();
        lp.run_once().unwrap();
        let during = allocation::calls() - before;
        c.read_exact(&mut [0; 64]).unwrap();
        during
    };
    // It is accepted and spawned; the queues find their size.
    turn_until(&mut lp, |lp| lp.task_metrics().polls == 1);
    let first: u64 = (0..10).map(|_| echo(&mut lp)).sum();
    println!("{first} in the first echoes");
    let later: u64 = (0..1000).map(|_| echo(&mut lp)).sum();
    assert_eq!(later, 0, "allocations in 1,000 echoes");
    assert_eq!(lp.task_metrics().polls, 1 + 1010, "a poll for each");
}

#[cfg(all(target_os = "linux", not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))))]
mod calls {
    use std::collections::HashMap;

    use super::*;
    use crate::syscalls::{argument, difference, traced_child};

    /// So many echoes, and the client's calls beside them.
    #[test]
    #[ignore = "a child of the test below"]
    fn child_echoes() {
        let (mut lp, mut c) = served();
        turn_until(&mut lp, |lp| lp.task_metrics().polls == 1);
        for _ in 0..argument() {
            write_all(&c, &[7; 64]);
            lp.run_once().unwrap();
            c.read_exact(&mut [0; 64]).unwrap();
        }
    }

    /// A wait, a read, a write; the client has a write and a read of its own.
    #[test]
    fn b16_an_echo_by_a_task_makes_three_calls() {
        let Some(few) = traced_child("tasks::calls::child_echoes", 10) else { return };
        let Some(many) = traced_child("tasks::calls::child_echoes", 1_010) else { return };
        let more = difference(&few, &many);
        let expected = [("epoll_wait", 1_000), ("recvfrom", 2_000), ("sendto", 2_000)];
        let expected: HashMap<_, _> = expected.map(|(name, n)| (name.to_owned(), n)).into();
        assert_eq!(more, expected, "{few:?}\n{many:?}");
    }

    /// Wakes of another thread: however many, one write each time that the loop sleeps.
    #[test]
    #[ignore = "a child of the test below"]
    fn child_wakes() {
        let mut lp = guarded();
        let wakes = argument();
        lp.spawn(std::future::poll_fn({
            let mut begun = false;
            move |cx| {
                if std::mem::replace(&mut begun, true) {
                    return std::task::Poll::Ready(());
                }
                // While the task is polled: the loop is awake, and none of them rings.
                let waker = cx.waker().clone();
                let thread = std::thread::spawn(move || {
                    for _ in 0..wakes {
                        waker.wake_by_ref();
                    }
                });
                thread.join().unwrap();
                std::task::Poll::Pending
            }
        }))
        .detach();
        lp.run().unwrap();
    }

    #[test]
    fn b08_wakes_of_a_task_that_is_polled_make_no_call() {
        let Some(few) = traced_child("tasks::calls::child_wakes", 1) else { return };
        let Some(many) = traced_child("tasks::calls::child_wakes", 1_001) else { return };
        let writes = difference(&few, &many).get("write").copied().unwrap_or(0);
        assert_eq!(writes, 0, "{few:?}\n{many:?}");
    }
}
