//! A semaphore, so that all peers wait for an answer alike.

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
