//! [`Kind`]: what the loop calls for a handle, and [`Dispatch`], which those calls get. What a
//! `Dispatch` can do is in `dispatch.rs` and `driver.rs`.
#![forbid(unsafe_code)]

use std::fmt;

use crate::core::cx::Cx;
use crate::core::state::Core;
use crate::store::key::{Key, KeyError};
use crate::store::readiness::Readiness;
use crate::sys::Owner;

/// A call of a handle: its key, and the data word given to
/// [`Driver::insert`](crate::kind::Driver::insert).
pub type Call = fn(&mut Dispatch<'_>, Key, u64);

/// What the loop calls for a handle: a few function pointers. The layer that makes a handle keeps
/// its state and finds it by the data word.
///
/// ```
/// use tidegate_loop::kind::{Dispatch, Kind, Owner};
/// use tidegate_loop::{AsCx, Key, Loop};
/// static MINE: Owner = Owner::new();
/// static TIDE: Kind = Kind::new("tide", &MINE).ready(ready);
/// fn ready(d: &mut Dispatch<'_>, key: Key, data: u64) {
///     assert_eq!(data, 7);
///     if let Some(mut tide) = d.driver().handle(&MINE, key) {
///         tide.close();
///     }
/// }
/// let mut lp = Loop::new()?;
/// lp.cx().driver().insert(&TIDE, 7)?.queue();
/// lp.run()?;
/// assert_eq!(lp.handles(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Kind {
    name: &'static str,
    owner: &'static Owner,
    pub(crate) ready: Call,
    pub(crate) notified: Call,
    pub(crate) pending: Call,
    pub(crate) close: fn(&mut Cx<'_>, Key, u64) -> Result<(), KeyError>,
    pub(crate) closed: Call,
    pub(crate) describe: fn(&mut Cx<'_>, Key, u64) -> String,
}

impl Kind {
    /// A kind of handles that belong to this owner. `name` is what `why_alive` and traces call
    /// it.
    pub const fn new(name: &'static str, owner: &'static Owner) -> Kind {
        Kind {
            name,
            owner,
            ready: nothing,
            notified: nothing,
            pending: nothing,
            close: begin_close,
            closed: nothing,
            describe: |_, _, _| String::new(),
        }
    }

    /// A handle was queued: by a kernel event, because a budget was spent, or by its owner. By
    /// default nothing happens.
    pub const fn ready(self, f: Call) -> Kind {
        Kind { ready: f, ..self }
    }

    /// Somebody called [`Remote::notify`](crate::Remote::notify) with the handle's key, in
    /// whatever thread. Any holder of a `Remote` can, so look whether there is something to do; as
    /// after a panic of this call, which is then repeated. By default nothing happens.
    pub const fn notified(self, f: Call) -> Kind {
        Kind { notified: f, ..self }
    }

    /// An effect of an earlier API call is due. By default nothing happens.
    pub const fn pending(self, f: Call) -> Kind {
        Kind { pending: f, ..self }
    }

    /// [`Cx::close`] was called, or [`Cx::close_all`]: close the descriptor and begin the end with
    /// [`Handle::close`](crate::kind::Handle::close), or free the slot at once if no user waits for
    /// the end. Return an error if it is closing already. It must not run callbacks. By default it
    /// only calls `Handle::close`.
    pub const fn close(self, f: fn(&mut Cx<'_>, Key, u64) -> Result<(), KeyError>) -> Kind {
        Kind { close: f, ..self }
    }

    /// The closing phase: [`free`](crate::kind::Handle::free) the slot, then call the user's close
    /// callback. After this the loop frees the slot in any case. By default nothing else happens.
    pub const fn closed(self, f: Call) -> Kind {
        Kind { closed: f, ..self }
    }

    /// A line that names the handle, for people. By default empty.
    pub const fn describe(self, f: fn(&mut Cx<'_>, Key, u64) -> String) -> Kind {
        Kind { describe: f, ..self }
    }

    /// What `why_alive` and traces call it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn owner(&self) -> &'static Owner {
        self.owner
    }

    #[inline(always)]
    pub(crate) fn is_of(&self, owner: &'static Owner) -> bool {
        std::ptr::eq(self.owner, owner)
    }
}

static NOBODY: Owner = Owner::new();

/// The kind of a row without a handle.
pub(crate) static VACANT: Kind = Kind::new("vacant", &NOBODY);

fn nothing(_: &mut Dispatch<'_>, _: Key, _: u64) {}

fn begin_close(cx: &mut Cx<'_>, key: Key, _: u64) -> Result<(), KeyError> {
    let begun = cx.core_mut().reactor.close(key);
    if begun { Ok(()) } else { Err(KeyError::Closed) }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What the functions of a [`Kind`] get: the view of the loop for code that runs callbacks. Only a
/// `Dispatch` may run callbacks, and programs never hold one, so no API call can run a callback.
///
/// ```
/// use tidegate_loop::Key;
/// use tidegate_loop::kind::{Dispatch, Owner};
/// static MINE: Owner = Owner::new();
/// fn ready(d: &mut Dispatch<'_>, key: Key, _data: u64) {
///     // take the user's closure out, lend it `&mut d.cx()`, put it back
///     d.settle();
///     if let Some(mut handle) = d.driver().handle(&MINE, key) {
///         handle.queue();
///     }
/// }
/// # let _: fn(&mut Dispatch<'_>, Key, u64) = ready;
/// ```
pub struct Dispatch<'a> {
    pub(crate) core: &'a mut Core,
    /// Lent to one handle after the other of a ready pass.
    pub(crate) scratch: Option<&'a mut Vec<u8>>,
    /// Of the handle that is called, as it was then.
    pub(crate) bits: Readiness,
}

impl<'a> Dispatch<'a> {
    pub(crate) fn new(core: &'a mut Core) -> Dispatch<'a> {
        Dispatch { core, scratch: None, bits: Readiness::NONE }
    }

    #[inline]
    pub(crate) fn lending(
        core: &'a mut Core,
        scratch: Option<&'a mut Vec<u8>>,
        bits: Readiness,
    ) -> Dispatch<'a> {
        Dispatch { core, scratch, bits }
    }
}
