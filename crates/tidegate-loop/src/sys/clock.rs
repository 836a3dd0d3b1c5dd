//! The monotonic clock, in nanoseconds since it was made.
//!
//! The loop reads it once or twice a turn. On Linux it asks the C library, as `Instant`
//! does, without the arithmetic in seconds and nanoseconds, which is as much again.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    #[derive(Debug)]
    pub(crate) struct Clock {
        origin: u64,
    }

    fn monotonic() -> u64 {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a local timespec. It cannot fail: the clock exists.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
        t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
    }

    impl Clock {
        pub(crate) fn start() -> Clock {
            Clock { origin: monotonic() }
        }

        #[inline]
        pub(crate) fn elapsed(&self) -> u64 {
            // It never goes back.
            monotonic().wrapping_sub(self.origin)
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod imp {
    use std::time::Instant;

    #[derive(Debug)]
    pub(crate) struct Clock {
        origin: Instant,
    }

    impl Clock {
        pub(crate) fn start() -> Clock {
            Clock { origin: Instant::now() }
        }

        pub(crate) fn elapsed(&self) -> u64 {
            u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
        }
    }
}

pub(crate) use imp::Clock;
