//! An allocator that counts what the server's thread holds, for the memory that an idle
//! connection takes. Only the report's binary uses it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

thread_local!(static COUNTED: Cell<bool> = const { Cell::new(false) });
static HELD: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting the bytes of the threads that ask for it.
pub struct Counting;

/// From here on what this thread allocates and frees is counted.
pub fn count_this_thread() {
    COUNTED.set(true);
}

/// Bytes that counted threads have allocated and not freed.
pub fn held() -> i64 {
    HELD.load(Ordering::Relaxed)
}

/// How often counted threads have asked for memory.
pub fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

fn call() {
    if COUNTED.get() {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Called from C, too.
pub(super) fn add(bytes: i64) {
    if COUNTED.get() {
        HELD.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        call();
        add(layout.size() as i64);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        add(-(layout.size() as i64));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        call();
        add(size as i64 - layout.size() as i64);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, layout, size) }
    }
}
