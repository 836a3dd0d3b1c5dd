//! Keeps a loop alive for something outside of it that will post to it.
//!
//! A [`Remote`](crate::Remote) does not keep its loop alive, or no loop would ever end. Code that
//! is going to post takes a [`KeepAlive`], with a name that `why_alive` shows, and drops it
//! afterwards.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use slab::Slab;

use crate::core::cx::Cx;
use crate::core::driver::Driver;
use crate::core::kind::Kind;
use crate::core::state::{Core, Post};
use crate::store::key::{Key, TableFull};
use crate::sys::LayerId;
use crate::threads::inbox::Inbox;

static KEEP_ALIVE: Kind = Kind::new("keep-alive", KEEP_ALIVES.owner())
    .close(|cx, key, _| {
        release(cx.core_mut(), key);
        Ok(())
    })
    .describe(|cx, _, n| {
        cx.core_mut().own.get(&KEEP_ALIVES).get(n as usize).cloned().unwrap_or_default()
    });

pub(crate) static KEEP_ALIVES: LayerId<Slab<String>> = LayerId::new(Slab::new);

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
    inbox: Arc<Inbox<Post>>,
    key: Key,
}

impl From<&KeepAlive> for Key {
    fn from(k: &KeepAlive) -> Key {
        k.key
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.inbox.notify(self.key);
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
        let inbox = core.inbox.clone();
        let entry = core.own.get(&KEEP_ALIVES).vacant_entry();
        let mut d = Driver::new(&mut core.reactor);
        let key = d.insert(&KEEP_ALIVE, entry.key() as u64)?.key();
        entry.insert(name);
        Ok(KeepAlive { inbox, key })
    }
}

/// Its end; of one that has ended already, nothing.
pub(crate) fn release(core: &mut Core, key: Key) {
    let mut d = Driver::new(&mut core.reactor);
    if let Some(handle) = d.handle(KEEP_ALIVES.owner(), key) {
        core.own.get(&KEEP_ALIVES).try_remove(handle.data() as usize);
        handle.free();
    }
}
