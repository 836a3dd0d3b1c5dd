//! `next_tick`: callbacks that run right after the current one, bounded per
//! turn so that they cannot starve the poller, and bounded in number.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use crate::core::cx::Cx;
use crate::core::state::TickFn;

/// A tick that was not taken, because `tick_limit` of them wait already. The closure comes back.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_loop::{AsCx, Loop, TickFull};
/// let mut lp = Loop::builder().tick_limit(1).build()?;
/// lp.try_next_tick(|_| println!("first")).expect("the queue was empty");
/// let Err(TickFull(later)) = lp.try_next_tick(|cx| cx.stop()) else { panic!() };
/// lp.run()?; // the first has run: there is room again
/// lp.try_next_tick(later)?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TickFull<F>(pub F);

impl<F> fmt::Debug for TickFull<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TickFull")
    }
}

impl<F> fmt::Display for TickFull<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many ticks wait: see tick_limit")
    }
}

impl<F> std::error::Error for TickFull<F> {}

impl<F> From<TickFull<F>> for io::Error {
    fn from(e: TickFull<F>) -> io::Error {
        io::Error::new(io::ErrorKind::WouldBlock, e.to_string())
    }
}

impl Cx<'_> {
    /// Calls `f` right after the current callback (outside of one: at the start
    /// of the next turn), before anything else happens. At most `tick_budget`
    /// run in one turn; the rest keep their order.
    ///
    /// When [`tick_limit`](crate::Limits::tick_limit) ticks wait, `f` is not called: it is dropped
    /// after the current callback, counted in
    /// [`Metrics::ticks_refused`](crate::Metrics::ticks_refused), and logged as an error, the first
    /// time and then at each power of two. If `f` must not be lost, use
    /// [`try_next_tick`](Cx::try_next_tick), which gives it back.
    pub fn next_tick(&mut self, f: impl FnOnce(&mut Cx<'_>) + 'static) {
        if let Err(TickFull(f)) = self.try_next_tick(f) {
            self.tick_is_lost(Box::new(f));
        }
    }

    /// As [`next_tick`](Cx::next_tick), but when `tick_limit` ticks wait already, `f` comes back.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::builder().tick_limit(2).build()?;
    /// let taken = (0..5).filter(|_| lp.try_next_tick(|_| {}).is_ok()).count();
    /// assert_eq!((taken, lp.metrics().ticks_refused), (2, 3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_next_tick<F>(&mut self, f: F) -> Result<(), TickFull<F>>
    where
        F: FnOnce(&mut Cx<'_>) + 'static,
    {
        let core = self.core_mut();
        if core.ticks.len() >= core.reactor.limits.tick_limit {
            core.reactor.metrics.ticks_refused += 1;
            return Err(TickFull(f));
        }
        core.ticks.push(Box::new(f));
        Ok(())
    }

    /// As [`next_tick`](Cx::next_tick), without its limit: for layers above that owe an event to
    /// the user, which must not be lost. The caller keeps the number of
    /// these bounded.
    pub fn owed_tick(&mut self, f: impl FnOnce(&mut Cx<'_>) + 'static) {
        self.core_mut().ticks.push(Box::new(f));
    }

    #[cold]
    fn tick_is_lost(&mut self, f: TickFn) {
        let core = self.core_mut();
        core.reactor.graveyard.bury(f);
        let refused = core.reactor.metrics.ticks_refused;
        if refused.is_power_of_two() {
            let limit = core.reactor.limits.tick_limit;
            log::error!(
                target: "tidegate::loop",
                "a tick was dropped: {limit} ticks wait, which is tick_limit ({refused} refused so far)"
            );
        }
    }
}
