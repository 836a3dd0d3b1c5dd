//! A poll that asks the kernel again before it blocks: when it does, for how long, and what ends it.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use tidegate::prelude::*;

use crate::support::*;

/// More than any test here takes: only an event ends it, or the next timer.
const LONG: Duration = Duration::from_secs(30);
/// A loop that polls again for so long is not done by then.
const SOON: Duration = Duration::from_secs(5);

fn busy(most: Duration) -> Guarded {
    guard(Loop::builder().busy_poll(most).build().unwrap())
}

/// One poll with an event: the next one asks again.
fn event(lp: &mut Loop) {
    let events = lp.metrics().events;
    let remote = lp.remote();
    thread::spawn(move || remote.wake()).join().unwrap();
    turn_until(lp, |lp| lp.metrics().events > events);
}

/// So many questions of a client, each after the answer before; polls that blocked, and that did not
/// have to.
fn ask(mut lp: Guarded, questions: u64) -> (u64, u64) {
    let server = lp.listen("127.0.0.1:0", |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        conn.accept(On::new().data(|s, chunk| {
            let _ = s.write(chunk);
        }));
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let peer = thread::spawn(move || {
        let mut peer = client(at);
        for _ in 0..questions {
            peer.write_all(b"?").unwrap();
            peer.read_exact(&mut [0]).unwrap();
        }
    });
    lp.run().unwrap();
    peer.join().unwrap();
    let m = lp.metrics();
    (m.blocking_polls - m.busy_polls, m.busy_polls)
}

#[test]
fn events_come_without_a_sleep() {
    // A client that is fast enough never has the loop ask twice.
    let spared = (0..100).any(|_| {
        let (slept, spared) = ask(busy(LONG), 50);
        assert_eq!(slept, 1, "the first poll has no events before it");
        spared > 0
    });
    assert!(spared);
}

#[test]
fn without_it_each_poll_may_sleep() {
    let slept = (0..100).any(|_| {
        let (slept, spared) = ask(guarded(), 50);
        assert_eq!(spared, 0);
        slept > 1
    });
    assert!(slept);
}

#[test]
fn it_ends_at_the_next_timer() {
    let mut lp = busy(LONG);
    event(&mut lp);
    let began = Instant::now();
    lp.after(Duration::from_millis(20), |cx| cx.stop());
    lp.run().unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(20) && took < SOON, "{took:?}");
}

#[test]
fn what_it_took_does_not_delay_a_timer() {
    let (most, after) = (Duration::from_millis(900), Duration::from_secs(1));
    let mut lp = busy(most);
    event(&mut lp);
    let began = Instant::now();
    lp.after(after, |cx| cx.stop());
    lp.run().unwrap();
    let took = began.elapsed();
    assert!(took >= after && took < after + most, "{took:?}");
}

#[test]
fn asking_again_is_not_a_turn() {
    let mut lp = busy(Duration::from_millis(1));
    event(&mut lp);
    let before = lp.metrics().turns;
    lp.after(Duration::from_millis(30), |_| ());
    lp.run().unwrap();
    assert!(lp.metrics().turns - before < 5, "{}", lp.metrics().turns - before);
    assert_eq!(lp.metrics().busy_polls, 0);
}

#[test]
fn another_thread_ends_it() {
    let mut lp = busy(LONG);
    event(&mut lp);
    let alive = lp.keep_alive("the thread").unwrap();
    let remote = lp.remote();
    let thread = thread::spawn(move || {
        thread::yield_now();
        let _ = remote.post(|cx| cx.stop());
    });
    let began = Instant::now();
    lp.run().unwrap();
    assert!(began.elapsed() < SOON);
    thread.join().unwrap();
    drop(alive);
}

#[test]
fn a_run_that_may_not_wait_does_not_ask_again() {
    let mut lp = busy(LONG);
    event(&mut lp);
    let began = Instant::now();
    lp.after(LONG, |_| ());
    for _ in 0..3 {
        lp.run_nowait().unwrap();
    }
    assert!(began.elapsed() < SOON);
    assert_eq!(lp.metrics().busy_polls, 0);
}

/// How long this thread has run on a core.
#[cfg(target_os = "linux")]
fn ran() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn it_sleeps_when_the_time_is_over() {
    let waits = Duration::from_secs(1);
    let mut lp = busy(Duration::from_millis(1));
    event(&mut lp);
    let before = ran();
    lp.after(waits, |_| ());
    lp.run().unwrap();
    assert!(ran() - before < waits / 2, "{:?}", ran() - before);
}
