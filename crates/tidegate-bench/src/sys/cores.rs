//! Which core a thread runs on, and the CPU time that it has used.
//!
//! With two cores or more, servers run on the first that this process may use and the
//! client on the second: who disturbs whom is then the same for all.

use std::mem;
use std::os::unix::thread::JoinHandleExt;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

/// Where a thread belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Core {
    /// The servers' core.
    Server,
    /// The client's.
    Client,
    /// Any that this process had at first.
    Any,
}

fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        // SAFETY: the set is a valid local of the size that is passed, and its bits are
        // looked at below that size.
        unsafe {
            let mut set: libc::cpu_set_t = mem::zeroed();
            libc::sched_getaffinity(0, mem::size_of_val(&set), &mut set);
            (0..libc::CPU_SETSIZE as usize).filter(|n| libc::CPU_ISSET(*n, &set)).collect()
        }
    })
}

/// How many cores this process may use.
pub fn count() -> usize {
    allowed().len()
}

/// Moves the calling thread there. The first call must come before threads are pinned
/// otherwise; with one core it does nothing.
pub fn pin(core: Core) {
    let all = allowed();
    if all.len() < 2 {
        return;
    }
    let cores = match core {
        Core::Server => &all[..1],
        Core::Client => &all[1..2],
        Core::Any => all,
    };
    // SAFETY: the set is a valid local of the size that is passed; the numbers came out of
    // such a set.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        cores.iter().for_each(|n| libc::CPU_SET(*n, &mut set));
        libc::sched_setaffinity(0, mem::size_of_val(&set), &set);
    }
}

/// Lets the calling thread go before all ordinary ones of its core. `false`: without the right to
/// do that nothing happens.
pub fn go_first() -> bool {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: a valid local; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &first) == 0 }
}

/// CPU time, user and system, that a running thread has used.
pub fn cpu<T>(thread: &JoinHandle<T>) -> Duration {
    let mut clock = 0;
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the handle is not joined yet, so the thread's id is valid; both pointers are
    // to locals.
    unsafe {
        if libc::pthread_getcpuclockid(thread.as_pthread_t(), &mut clock) == 0 {
            libc::clock_gettime(clock, &mut t);
        }
    }
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// As many descriptors as the system lets this process have; how many those are.
pub fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid pointer to a local.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
    limit.rlim_cur
}

/// The monotonic clock, in ns; libuv's `uv_hrtime` reads the same.
pub fn now() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid local.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
