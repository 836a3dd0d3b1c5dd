//! [`Kind`]: what the loop calls for a handle, and [`Dispatch`], which those calls get. What a
//! `Dispatch` can do is in `dispatch.rs` and `driver.rs`.
#![forbid(unsafe_code)]

use std::fmt;

use crate::core::cx::Cx;
use crate::core::state::Core;
use crate::store::key::{Key, KeyError};

/// What the loop calls for a handle: a few functions, no object. The layer that
/// makes a handle keeps its state itself and finds it by the `data` word it
/// gave to [`Driver::insert`](crate::kind::Driver::insert).
///
/// ```
/// use tidegate_loop::{AsCx, Key, Loop};
/// use tidegate_loop::kind::{Dispatch, Kind};
/// static BELL: Kind = Kind {
///     name: "bell",
///     ready: |d: &mut Dispatch<'_>, key: Key, data: u64| {
///         assert_eq!(data, 7);
///         d.cx().driver().close(&BELL, key);
///     },
///     pending: |_, _, _| {},
///     close: |cx, key, _| { cx.driver().close(&BELL, key); Ok(()) },
///     closed: |d, key, _| d.driver().free(&BELL, key),
///     describe: |_, _, data| format!("bell {data}"),
/// };
/// let mut lp = Loop::new()?;
/// let mut cx = lp.cx();
/// let key = cx.driver().insert(&BELL, 7)?;
/// cx.driver().queue(key);
/// lp.run()?;
/// assert_eq!(lp.handles(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Kind {
    /// What `why_alive` and traces call it.
    pub name: &'static str,
    /// It was queued: by a kernel event, by a budget or by a choice that ended.
    pub ready: fn(&mut Dispatch<'_>, Key, u64),
    /// An effect of an earlier API call is due.
    pub pending: fn(&mut Dispatch<'_>, Key, u64),
    /// [`Cx::close`] was called, or [`Cx::close_all`]: close the descriptor and begin the
    /// end with [`Driver::close`](crate::kind::Driver::close), or free the slot at once if
    /// no user waits for the end. An error says that it ends already. Runs no user
    /// code.
    pub close: fn(&mut Cx<'_>, Key, u64) -> Result<(), KeyError>,
    /// The closing phase reached it: [`free`](crate::kind::Driver::free) the slot, then
    /// tell the user.
    pub closed: fn(&mut Dispatch<'_>, Key, u64),
    /// One line for people: which one it is.
    pub describe: fn(&mut Cx<'_>, Key, u64) -> String,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What [`Kind`](crate::kind::Kind)'s functions get: the view of the loop for code that runs
/// callbacks. Only a `Dispatch` may run callbacks, and users never hold one, so no API call can
/// run user code.
///
/// ```
/// use tidegate_loop::Key;
/// use tidegate_loop::kind::Dispatch;
/// fn ready(d: &mut Dispatch<'_>, key: Key, _data: u64) {
///     // take the user's closure out, lend it `&mut d.cx()`, put it back
///     d.settle();
///     d.driver().queue(key);
/// }
/// # let _: fn(&mut Dispatch<'_>, Key, u64) = ready;
/// ```
pub struct Dispatch<'a> {
    pub(crate) core: &'a mut Core,
    /// Lent to one handle after the other of a ready pass.
    pub(crate) scratch: Option<&'a mut Vec<u8>>,
}

impl<'a> Dispatch<'a> {
    pub(crate) fn new(core: &'a mut Core) -> Dispatch<'a> {
        Dispatch { core, scratch: None }
    }

    #[inline]
    pub(crate) fn lending(core: &'a mut Core, scratch: Option<&'a mut Vec<u8>>) -> Dispatch<'a> {
        Dispatch { core, scratch }
    }
}
