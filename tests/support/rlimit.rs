//! The limit of open descriptors. It is the whole process's: tests that change it run one at a
//! time.
#![allow(dead_code, unreachable_pub)]

use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The soft and the hard limit; sets the soft one if one is given.
#[allow(unsafe_code)]
// The numbers are signed on FreeBSD.
#[allow(clippy::unnecessary_cast)]
fn limit(soft: Option<u64>) -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid pointer to a local rlimit.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        let before = (limit.rlim_cur as u64, limit.rlim_max as u64);
        if let Some(soft) = soft {
            limit.rlim_cur = soft as libc::rlim_t;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        }
        before
    }
}

/// Sets it; returns what it was.
pub fn set_limit(soft: u64) -> u64 {
    limit(Some(soft)).0
}

/// As high as it may be; how high that is.
pub fn raise_limit() -> u64 {
    let most = limit(None).1;
    set_limit(most);
    most
}

/// The lowest descriptor number that is free.
pub fn next_descriptor() -> u64 {
    std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64
}
