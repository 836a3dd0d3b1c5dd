//! Keeps a loop alive for something outside of it that will post to it.
//!
//! A [`Remote`](crate::Remote) does not keep its loop alive, or no loop would ever end. Code that
//! is going to post takes a [`KeepAlive`], with a name that `why_alive` shows, and drops it
//! afterwards.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slab::Slab;

use crate::core::cx::Cx;
use crate::core::driver::Driver;
use crate::core::kind::Kind;
use crate::core::state::Core;
use crate::handles::remote::Remote;
use crate::store::key::{Key, TableFull};
use crate::sys::LayerId;

static KEEP_ALIVE: Kind = Kind::new("keep-alive", KEEP_ALIVES.owner())
    .notified(|d, key, n| {
        let reason = d.core.own.get(&KEEP_ALIVES).get(n as usize);
        if reason.is_some_and(|reason| reason.dropped.load(Ordering::Acquire)) {
            release(d.core, key, n);
        }
    })
    .close(|cx, key, n| {
        release(cx.core_mut(), key, n);
        Ok(())
    })
    .describe(|cx, _, n| match cx.core_mut().own.get(&KEEP_ALIVES).get(n as usize) {
        Some(reason) => reason.name.clone(),
        None => String::new(),
    });

pub(crate) static KEEP_ALIVES: LayerId<Slab<Arc<Reason>>> = LayerId::new(Slab::new);

pub(crate) struct Reason {
    name: String,
    /// Its [`KeepAlive`] is gone.
    dropped: AtomicBool,
}

/// Keeps a loop alive until this value is dropped, in any thread. Made by [`Cx::keep_alive`].
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// let stay = lp.keep_alive("the importer")?;
/// let remote = lp.remote();
/// let importer = std::thread::spawn(move || {
///     remote.post(|cx| println!("imported, says turn {}", cx.turn())).unwrap();
///     drop(stay);
/// });
/// lp.run()?; // until the importer is done
/// importer.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct KeepAlive {
    remote: Remote,
    key: Key,
    reason: Arc<Reason>,
}

impl From<&KeepAlive> for Key {
    fn from(k: &KeepAlive) -> Key {
        k.key
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.reason.dropped.store(true, Ordering::Release);
        self.remote.notify(self.key);
    }
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeepAlive").field(&self.key).finish()
    }
}

impl Cx<'_> {
    /// Keeps the loop alive until the returned value is dropped. [`why_alive`](Cx::why_alive) shows
    /// the name.
    pub fn keep_alive(&mut self, name: impl Into<String>) -> Result<KeepAlive, TableFull> {
        // The user's code first: it may panic.
        let name = name.into();
        let core = self.core_mut();
        let remote = Remote::to(&core.inbox);
        let entry = core.own.get(&KEEP_ALIVES).vacant_entry();
        let mut d = Driver::new(&mut core.reactor);
        let key = d.insert(&KEEP_ALIVE, entry.key() as u64)?.key();
        let reason = Arc::new(Reason { name, dropped: AtomicBool::new(false) });
        entry.insert(reason.clone());
        Ok(KeepAlive { remote, key, reason })
    }
}

fn release(core: &mut Core, key: Key, n: u64) {
    core.own.get(&KEEP_ALIVES).try_remove(n as usize);
    core.reactor.free(key);
}
