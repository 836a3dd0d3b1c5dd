//! [`LoopTimer`]: the timers of the loop, for hyper.
#![forbid(unsafe_code)]

use std::pin::Pin;
use std::time::{Duration, Instant};

use hyper::rt;

use crate::time::sleep::{Sleep, sleep};

/// hyper's timers, as those of the loop that polls the connection. hyper moves one for its next
/// request, instead of making a new one.
///
/// ```
/// use hyper::server::conn::http1;
/// use tidegate_async::LoopTimer;
/// let mut builder = http1::Builder::new();
/// builder.timer(LoopTimer).header_read_timeout(std::time::Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopTimer;

impl rt::Timer for LoopTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep(until(deadline))
    }

    fn reset(&self, old: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        match old.as_mut().downcast_mut_pin::<Sleep>() {
            Some(own) => own.get_mut().reset(until(deadline)),
            None => *old = self.sleep_until(deadline),
        }
    }
}

impl rt::Sleep for Sleep {}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
