//! What threads share, from std; under `--cfg loom` from loom, whose tests try
//! every order.
#![forbid(unsafe_code)]

#[cfg(loom)]
use loom::sync;
#[cfg(not(loom))]
use std::sync;

use std::sync::PoisonError;

#[cfg(feature = "work")]
pub(crate) use sync::Condvar;
pub(crate) use sync::atomic::{AtomicBool, Ordering};
pub(crate) use sync::{Mutex, MutexGuard};

/// No user code runs while these locks are held, so a poisoned one is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
