//! The loop's own costs, beside libuv in the same run: turns, timers, wake-ups, posts,
//! ticks, work.
//!
//! ```text
//! cargo bench --bench loop_core              # a table, ratio first
//! cargo bench --bench loop_core -- --test    # everything once, small
//! ```
//! Above 1 tidegate is ahead. libuv is linked where its headers are installed
//! (Debian: `libuv1-dev`), or from `LIBUV_PREFIX`; without it its column is empty.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::TimerKey;
use tidegate::prelude::*;
use tidegate_bench::sys::Semaphore;
use tidegate_bench::{alternate, shuffled};

const FAR: Duration = Duration::from_secs(3600);

fn nanos(since: Instant) -> u64 {
    since.elapsed().as_nanos() as u64
}

/// Turns with nothing due.
fn turns(n: u64) -> u64 {
    let mut lp = Loop::new().unwrap();
    lp.as_cx().timer(FAR, |_, _| {});
    let start = Instant::now();
    for _ in 0..n {
        lp.run_nowait().unwrap();
    }
    nanos(start)
}

/// Turns of one run with an idle hook.
fn idle_turns(n: u64) -> u64 {
    let mut lp = Loop::new().unwrap();
    let mut left = n;
    lp.as_cx().idle(move |cx, me| {
        left -= 1;
        if left == 0 {
            cx.close(me).unwrap();
        }
    });
    let start = Instant::now();
    lp.run().unwrap();
    nanos(start)
}

thread_local!(static FIRED: Cell<u32> = const { Cell::new(0) });

/// Starts them, and stops them in this order or fires them all.
fn timers(delay: &[u32], order: &[u32], fire: bool) -> [u64; 2] {
    let mut lp = Loop::new().unwrap();
    let mut keys: Vec<TimerKey> = Vec::with_capacity(delay.len());
    let mut cx = lp.as_cx();
    let start = Instant::now();
    for ms in delay {
        let after = Duration::from_millis(u64::from(*ms));
        keys.push(cx.timer(after, |_, _| FIRED.set(FIRED.get() + 1)));
    }
    let started = nanos(start);
    let rest = if fire {
        FIRED.set(0);
        let due = Duration::from_millis(u64::from(delay.iter().copied().max().unwrap_or(0) + 2));
        let last = Instant::now();
        while last.elapsed() < due {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        lp.run_nowait().unwrap();
        let took = nanos(start);
        assert_eq!(FIRED.get() as usize, delay.len());
        took
    } else {
        let start = Instant::now();
        for n in order {
            cx.timer_stop(keys[*n as usize]).unwrap();
        }
        nanos(start)
    };
    [started, rest]
}

/// A loop that runs while other threads reach it.
fn with_threads(threads: u32, each: impl Fn(tidegate::Remote) + Clone + Send + 'static) -> u64 {
    let mut lp = Loop::new().unwrap();
    lp.as_cx().timer(FAR, |_, _| {});
    let start = Instant::now();
    let threads: Vec<_> = (0..threads)
        .map(|_| {
            let (remote, each) = (lp.as_cx().remote(), each.clone());
            std::thread::spawn(move || each(remote))
        })
        .collect();
    lp.run().unwrap();
    let took = nanos(start);
    threads.into_iter().for_each(|t| t.join().unwrap());
    took
}

fn wakes(n: u64) -> u64 {
    let mut lp = Loop::new().unwrap();
    lp.as_cx().timer(FAR, |_, _| {});
    let done = Arc::new(AtomicBool::new(false));
    let (remote, told) = (lp.as_cx().remote(), done.clone());
    let sender = std::thread::spawn(move || {
        let start = Instant::now();
        for _ in 0..n {
            remote.wake();
        }
        let took = nanos(start);
        told.store(true, Ordering::SeqCst);
        remote.wake();
        took
    });
    while !done.load(Ordering::SeqCst) {
        lp.run_once().unwrap();
    }
    sender.join().unwrap()
}

/// A post, again and again until there is room for it.
fn post(remote: &tidegate::Remote, f: impl FnOnce(&mut Cx<'_>) + Send + 'static) {
    let mut f = f;
    while let Err(tidegate::PostError::Full(back)) = remote.post(f) {
        f = back;
        std::thread::yield_now();
    }
}

fn posts(n: u64, threads: u32) -> u64 {
    let each = n / u64::from(threads);
    let all = each * u64::from(threads);
    with_threads(threads, move |remote| {
        for _ in 0..each {
            post(&remote, move |cx| {
                let (seen, _) = cx.parts::<u64>();
                *seen += 1;
                if *seen == all {
                    cx.stop();
                }
            });
        }
    })
}

fn round_trips(n: u64) -> u64 {
    let answer = Arc::new(Semaphore::default());
    with_threads(1, move |remote| {
        for _ in 0..n {
            let answered = answer.clone();
            post(&remote, move |_| answered.post());
            answer.wait();
        }
        post(&remote, |cx| cx.stop());
    })
}

fn ticks(n: u64) -> u64 {
    let mut lp = Loop::builder().tick_budget(u32::MAX).build().unwrap();
    fn next(cx: &mut Cx<'_>, left: u64) {
        if left > 0 {
            cx.next_tick(move |cx| next(cx, left - 1));
        }
    }
    next(&mut lp.as_cx(), n);
    let start = Instant::now();
    lp.run().unwrap();
    nanos(start)
}

fn jobs(n: u64) -> u64 {
    let mut lp = Loop::new().unwrap();
    fn next(cx: &mut Cx<'_>, left: u64) {
        if left > 0 {
            cx.work(|| (), move |cx, _| next(cx, left - 1)).unwrap();
        }
    }
    next(&mut lp.as_cx(), n);
    let start = Instant::now();
    lp.run().unwrap();
    nanos(start)
}

#[cfg(libuv)]
use tidegate_bench::sys::libuv;

/// Without libuv: nothing to compare with.
#[cfg(not(libuv))]
mod libuv {
    pub(crate) fn timers(_: &[u32], _: &[u32], _: bool) -> [u64; 2] {
        [0; 2]
    }
    pub(crate) fn posts(_: u64, _: u32) -> u64 {
        0
    }
    macro_rules! nothing {
        ($($name:ident)*) => { $(pub(crate) fn $name(_: u64) -> u64 { 0 })* };
    }
    nothing!(turns idle_turns wakes round_trips jobs);
}

fn main() {
    let once = std::env::args().any(|a| a == "--test");
    let (rounds, scale) = if once { (1, 1_000) } else { (9, 1) };
    #[cfg(libuv)]
    println!("beside libuv {}", libuv::version());
    #[cfg(not(libuv))]
    println!("libuv is left out: its headers are not installed (Debian: libuv1-dev)");
    println!(
        "{:>7} {:>11} {:>11}  per operation, medians of {rounds} alternating rounds",
        "ratio", "tidegate", "libuv"
    );
    let row = |name: &str, n: u64, own: &dyn Fn(u64) -> u64, peer: &dyn Fn(u64) -> u64| {
        let n = (n / scale).max(10);
        let per = |total: u64| total as f64 / n as f64;
        let [own, peer, ratio] = alternate(rounds, || per(own(n)), || per(peer(n)));
        let (ratio, peer) = match peer > 0.0 {
            true => (format!("{ratio:.2}"), format!("{peer:.1} ns")),
            false => ("-".into(), "-".into()),
        };
        println!("{ratio:>7} {:>11} {peer:>11}  {name}", format!("{own:.1} ns"));
    };
    row("turn with nothing due", 1_000_000, &turns, &libuv::turns);
    row("turn with an idle hook", 1_000_000, &idle_turns, &libuv::idle_turns);

    let n = 1_000_000 / scale as u32;
    let order = shuffled(n);
    // 1 to 20 ms, in no order.
    let delay: Vec<u32> = order.iter().map(|i| i % 20 + 1).collect();
    let both = |side: &dyn Fn(bool) -> [u64; 2]| [side(true), side(false)];
    let seen = Rc::new(Cell::new([[0u64; 2]; 2]));
    for (name, pick) in
        [("timer start, one of 1,000,000", 0), ("timer fire", 1), ("timer stop, in no order", 2)]
    {
        let take = |side: &dyn Fn(bool) -> [u64; 2]| {
            seen.set(both(side));
            let [[start, fire], [_, stop]] = seen.get();
            [start, fire, stop][pick]
        };
        let own = |_: u64| take(&|fire| timers(&delay, &order, fire));
        let peer = |_: u64| take(&|fire| libuv::timers(&delay, &order, fire));
        row(name, u64::from(n) * scale, &own, &peer);
    }

    row("wake from another thread", 2_000_000, &wakes, &libuv::wakes);
    for threads in [1, 2, 4] {
        let own = move |n| posts(n, threads);
        let peer = move |n| libuv::posts(n, threads);
        row(&format!("post from {threads} threads, with a closure"), 500_000, &own, &peer);
    }
    row("post round trip", 50_000, &round_trips, &libuv::round_trips);
    row("next_tick", 2_000_000, &ticks, &|_| 0);
    row("work round trip", 50_000, &jobs, &libuv::jobs);
}
