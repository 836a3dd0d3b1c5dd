//! Calls into C: libuv's side of the benches, where it was built, and a semaphore that
//! both sides wait on alike.

use std::cell::UnsafeCell;

/// A semaphore of the C library.
#[derive(Debug)]
pub struct Semaphore(Box<UnsafeCell<libc::sem_t>>);

// SAFETY: a sem_t is made to be used by many threads; it is only given to its own
// functions, and its box keeps it in its place.
unsafe impl Sync for Semaphore {}
// SAFETY: as above.
unsafe impl Send for Semaphore {}

impl Default for Semaphore {
    fn default() -> Semaphore {
        // SAFETY: a sem_t of zeroes is memory for sem_init to fill.
        let s = Semaphore(Box::new(UnsafeCell::new(unsafe { std::mem::zeroed() })));
        // SAFETY: the pointer is to the box's content.
        unsafe { libc::sem_init(s.0.get(), 0, 0) };
        s
    }
}

impl Semaphore {
    /// Lets one waiter go.
    pub fn post(&self) {
        // SAFETY: it was initialised, and lives as long as `self`.
        unsafe { libc::sem_post(self.0.get()) };
    }

    /// Waits for a post.
    pub fn wait(&self) {
        // SAFETY: as in `post`.
        while unsafe { libc::sem_wait(self.0.get()) } != 0 {}
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: nobody waits: `self` is not borrowed any more.
        unsafe { libc::sem_destroy(self.0.get()) };
    }
}

/// libuv, doing one measured piece of work; each function returns nanoseconds.
#[cfg(libuv)]
pub mod libuv {
    use std::ffi::{CStr, c_char, c_int};

    unsafe extern "C" {
        fn tb_version() -> *const c_char;
        fn tb_turns(n: u64) -> u64;
        fn tb_idle_turns(n: u64) -> u64;
        fn tb_timers(n: u64, delay: *const u32, order: *const u32, fire: c_int, out: *mut u64);
        fn tb_wakes(n: u64) -> u64;
        fn tb_posts(n: u64, threads: c_int, round_trips: c_int) -> u64;
        fn tb_jobs(n: u64) -> u64;
    }

    /// Its version.
    pub fn version() -> String {
        // SAFETY: a static string of the library.
        unsafe { CStr::from_ptr(tb_version()) }.to_string_lossy().into_owned()
    }

    /// Turns with nothing due.
    pub fn turns(n: u64) -> u64 {
        // SAFETY: no pointers; the loop lives inside the call.
        unsafe { tb_turns(n) }
    }

    /// Turns of one run with an idle handle.
    pub fn idle_turns(n: u64) -> u64 {
        // SAFETY: as above.
        unsafe { tb_idle_turns(n) }
    }

    /// Starts timers with these delays in ms; then fires them all, or stops them in this
    /// order. Nanoseconds for starting, and for the rest.
    pub fn timers(delay: &[u32], order: &[u32], fire: bool) -> [u64; 2] {
        assert_eq!(delay.len(), order.len());
        let mut out = [0; 2];
        let n = delay.len() as u64;
        // SAFETY: both slices have `n` elements, the indices of `order` are below `n` (it is
        // a permutation), `out` has two.
        unsafe {
            tb_timers(n, delay.as_ptr(), order.as_ptr(), c_int::from(fire), out.as_mut_ptr())
        };
        out
    }

    /// Wake-ups from another thread.
    pub fn wakes(n: u64) -> u64 {
        // SAFETY: no pointers.
        unsafe { tb_wakes(n) }
    }

    /// Posts from up to 16 threads.
    pub fn posts(n: u64, threads: u32) -> u64 {
        // SAFETY: no pointers; the array of threads has 16 places.
        unsafe { tb_posts(n, threads.clamp(1, 16) as c_int, 0) }
    }

    /// Round trips of one thread.
    pub fn round_trips(n: u64) -> u64 {
        // SAFETY: no pointers.
        unsafe { tb_posts(n, 1, 1) }
    }

    /// Round trips through the pool.
    pub fn jobs(n: u64) -> u64 {
        // SAFETY: no pointers.
        unsafe { tb_jobs(n) }
    }
}
