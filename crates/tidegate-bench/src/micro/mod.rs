//! What needs no server: the loop's own costs. Each function does a measured piece of work
//! and returns the nanoseconds that it took; libuv's are in `sys/libuv_loop.c`.
#![forbid(unsafe_code)]

pub mod lookup;
pub mod post;
pub mod tasks;
pub mod timers;
pub mod turns;
pub mod work;

use std::time::{Duration, Instant};

use crate::sys::cores::{self, Core};

/// Far enough to never come.
const FAR: Duration = Duration::from_secs(3600);

/// Contenders of one kind of work: how often goes in, nanoseconds come out.
pub type Sides = &'static [(&'static str, fn(u64) -> u64)];

fn nanos(since: Instant) -> u64 {
    since.elapsed().as_nanos() as u64
}

/// Runs it in a separate thread there: the client's core is not the place for a loop, and
/// threads that are started inside are where it is.
fn on<T: Send>(core: Core, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|s| {
        let run = s.spawn(|| {
            cores::pin(core);
            f()
        });
        run.join().expect("it does not panic")
    })
}
