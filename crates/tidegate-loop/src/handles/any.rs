//! What can be done with a handle of any kind: close it, keep the loop alive with it or not,
//! list it.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::core::cx::Cx;
use crate::core::driver::AGE_SHIFT;
use crate::one_line::OneLine;
use crate::store::key::{Key, KeyError, TableFull};
use crate::store::readiness::Readiness;

impl Cx<'_> {
    /// Whether the key names a handle of this loop that is open or closing.
    pub fn is_open(&self, key: impl Into<Key>) -> bool {
        self.validate(key).is_ok()
    }

    /// As [`is_open`](Cx::is_open); the error says why the key finds nothing.
    pub fn validate(&self, key: impl Into<Key>) -> Result<(), KeyError> {
        self.core().reactor.table.check(key.into())
    }

    /// Whether the handle's close callback is due, which is then the only callback left. (A closed
    /// server first waits for its connections.)
    pub fn is_closing(&self, key: impl Into<Key>) -> bool {
        self.core().reactor.table.get(key.into()).is_some_and(|s| s.bits.has(Readiness::CLOSING))
    }

    /// The readiness bits of a connection, a server or a watcher, to look at. The loop keeps them
    /// up to date.
    pub fn readiness(&self, key: impl Into<Key>) -> Readiness {
        let slot = self.core().reactor.table.get(key.into());
        slot.map_or(Readiness::NONE, |s| s.bits.readiness())
    }

    /// Ends a handle of any kind: a connection is destroyed, a server stops accepting, a timer, a
    /// hook or a watcher is never called again. Its closure is dropped after the current callback.
    /// Closing twice returns an error and does nothing else; so does closing a job that runs
    /// already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, KeyError, Loop};
    /// let mut lp = Loop::new()?;
    /// let timer = lp.timer(Duration::from_secs(60), |_, _| {});
    /// assert_eq!(lp.close(timer), Ok(()));
    /// assert_eq!(lp.close(timer), Err(KeyError::Closed));
    /// lp.run()?; // nothing is left to wait for
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&mut self, key: impl Into<Key>) -> Result<(), KeyError> {
        let key = key.into();
        self.validate(key)?;
        let Some(slot) = self.core().reactor.table.get(key) else { return Err(KeyError::Closed) };
        let (kind, data) = (slot.kind, slot.data);
        if slot.bits.has(Readiness::CLOSING | Readiness::INTERNAL) {
            return Err(KeyError::Closed);
        }
        (kind.close)(self, key, data)
    }

    /// Closes every handle. `run` returns when all have ended, unless their callbacks start new
    /// ones.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.interval(Duration::from_secs(1), |_, _| {});
    /// lp.close_all();
    /// lp.run()?;
    /// assert_eq!(lp.handles(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close_all(&mut self) {
        // Twice: closing a handle may give another its place that had none yet.
        for _ in 0..2 {
            let keys: Vec<Key> = self.core().reactor.table.listed().map(|(key, _)| key).collect();
            for key in keys {
                // One may have ended with another.
                let _ = self.close(key);
            }
        }
    }

    /// Sets whether the handle keeps the loop alive; most new handles do. It is a flag, not a
    /// count. A handle that does not is still called while the loop runs.
    ///
    /// A handle without the flag does not keep the loop alive by being ready: `run` returns
    /// although a watcher has not drained its source, or a server or a connection has spent its
    /// budget and the kernel has more (as in libuv). But work that the loop has begun for a handle
    /// keeps the loop alive until it is done, whatever the flag says: a connect, queued bytes,
    /// effects and completions to report, a close callback, bytes that a stream passes on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let timer = lp.timer(Duration::from_secs(60), |_, _| {});
    /// lp.set_ref(timer, false)?;
    /// lp.run()?; // returns at once
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ref(&mut self, key: impl Into<Key>, keep_alive: bool) -> Result<(), KeyError> {
        let key = key.into();
        self.validate(key)?;
        self.core_mut().reactor.set_alive(key, Readiness::REFERENCED, keep_alive);
        Ok(())
    }

    /// Whether the handle keeps the loop alive.
    pub fn has_ref(&self, key: impl Into<Key>) -> bool {
        self.core().reactor.table.get(key.into()).is_some_and(|s| s.bits.has(Readiness::REFERENCED))
    }

    /// How many handles keep the loop alive by their flag ([`set_ref`](Cx::set_ref)), or by a
    /// request that is under way. [`why_alive`](Cx::why_alive) names them, and those that keep it
    /// alive for this turn alone.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.timer(std::time::Duration::from_secs(1), |_, _| {});
    /// assert_eq!(lp.cx().alive(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn alive(&self) -> usize {
        self.core().reactor.alive
    }

    /// What keeps the loop alive: handles that have the flag of [`set_ref`](Cx::set_ref), that are
    /// closing, or that have work to do. (Ticks and posts also keep it alive, but are no handles.)
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.timer(std::time::Duration::from_secs(1), |_, _| {});
    /// let alive = lp.why_alive();
    /// assert_eq!(alive[0].kind, "timer");
    /// println!("{}", alive[0]); // timer 1#1@1: due in 1.0s, open for 0ms
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn why_alive(&mut self) -> Vec<HandleInfo> {
        let mut handles = self.walk();
        handles.retain(|h| h.keeps_alive);
        handles
    }

    /// All handles, in no particular order.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.check(|_, _| {});
    /// assert_eq!(lp.walk()[0].kind, "check");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn walk(&mut self) -> Vec<HandleInfo> {
        let table = &self.core().reactor.table;
        let live: Vec<_> =
            table.listed().map(|(key, s)| (key, s.kind, s.data, s.bits, s.since)).collect();
        let now = self.core().reactor.clock() >> AGE_SHIFT;
        live.into_iter()
            .map(|(key, kind, data, bits, since)| HandleInfo {
                kind: kind.name(),
                key,
                name: (kind.describe)(self, key, data),
                age: Duration::from_nanos(now.saturating_sub(since.into()) << AGE_SHIFT),
                keeps_alive: bits.keep_alive(),
            })
            .collect()
    }

    /// The table is full, which is counted there. The key is stale from the start,
    /// and what stays silent elsewhere is at least logged here.
    pub(crate) fn not_started(&mut self, what: &str, e: TableFull, callback: Box<dyn Any>) -> Key {
        let r = &mut self.core_mut().reactor;
        r.thinned.log(
            log::Level::Error,
            "tidegate::loop",
            ("not started", what),
            1,
            format_args!("{what} was not started: {e}"),
        );
        r.graveyard.bury_boxed(callback);
        r.table.stale_key()
    }
}

/// A description of a handle. See [`Cx::walk`] and [`Cx::why_alive`].
///
/// ```
/// use tidegate_loop::{AsCx, HandleInfo, Loop};
/// let mut lp = Loop::new()?;
/// lp.timer(std::time::Duration::from_secs(1), |_, _| {});
/// let [timer]: [HandleInfo; 1] = lp.why_alive().try_into().unwrap();
/// assert!(timer.to_string().starts_with("timer "));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandleInfo {
    /// What it is: `timer`, `server`, `socket`, ...
    pub kind: &'static str,
    /// Its key.
    pub key: Key,
    /// Which one: an address, a deadline.
    pub name: String,
    /// The time since the poll before it was opened, exact to about 17 ms.
    pub age: Duration,
    /// Whether it keeps the loop alive: referenced, closing, or with something left to do.
    pub keeps_alive: bool,
}

impl fmt::Display for HandleInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HandleInfo { kind, key, name, age, .. } = self;
        let name = OneLine(name);
        write!(f, "{kind} {key:?}: {name}, open for {}ms", age.as_millis())
    }
}
