//! Values that the loop owns for several callbacks, and lends to one at a time.
//!
//! | value | `with` | `close` | lease ends |
//! |---|---|---|---|
//! | here | leased | gone | - |
//! | leased | error | gone, at the lease's end | here |
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use slab::Slab;

use crate::core::cx::Cx;
use crate::core::driver::Driver;
use crate::core::kind::{Dispatch, Kind};
use crate::core::state::Core;
use crate::store::key::{Key, KeyError, TableFull};
use crate::sys::LayerId;

static SHARED: Kind = Kind::new("shared", VALUES.owner())
    .close(|cx, key, n| {
        end(cx.core_mut(), key, n);
        Ok(())
    })
    .describe(|_, _, _| "a shared value".into());

/// `None` while it is leased.
pub(crate) static VALUES: LayerId<Slab<Option<Box<dyn Any>>>> = LayerId::new(Slab::new);

/// Names a value that the loop owns. Made by [`Cx::share`]; it is `Copy`, so every callback can
/// have it. It does not keep the loop alive.
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// let count = lp.share(0)?;
/// for _ in 0..3 {
///     lp.next_tick(move |cx| {
///         cx.with(count, |n, _cx| *n += 1).unwrap();
///     });
/// }
/// lp.run()?;
/// assert_eq!(lp.with(count, |n, _| *n), Ok(3));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Shared<T> {
    key: Key,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.key).finish()
    }
}

impl<T> From<Shared<T>> for Key {
    fn from(s: Shared<T>) -> Key {
        s.key
    }
}

/// Why a shared value cannot be lent.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_loop::{AsCx, LeaseError, Loop};
/// let mut lp = Loop::new()?;
/// let value = lp.share(1)?;
/// lp.with(value, |_, cx| {
///     assert_eq!(cx.with(value, |_, _| ()), Err(LeaseError::Leased));
/// }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LeaseError {
    /// An outer `with` has borrowed it.
    Leased,
    /// It was closed, or belongs to another loop.
    Key(KeyError),
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeaseError::Leased => f.write_str("an outer call has borrowed the value"),
            LeaseError::Key(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for LeaseError {}

impl Cx<'_> {
    /// Gives a value to the loop, for callbacks to share. It is dropped with the loop,
    /// or after [`close`](Cx::close).
    pub fn share<T: 'static>(&mut self, value: T) -> Result<Shared<T>, TableFull> {
        let core = self.core_mut();
        let entry = core.own.get(&VALUES).vacant_entry();
        let mut d = Driver::new(&mut core.reactor);
        match d.insert(&SHARED, entry.key() as u64) {
            Ok(mut handle) => {
                handle.set_ref(false);
                let key = handle.key();
                entry.insert(Some(Box::new(value)));
                Ok(Shared { key, value: PhantomData })
            }
            Err(full) => {
                d.bury(value);
                Err(full)
            }
        }
    }

    /// Lends a shared value to `f`, which runs at once, together with the loop. Inside of `f` the
    /// value cannot be lent again; everything else is allowed, also closing it.
    pub fn with<T: 'static, R>(
        &mut self,
        shared: Shared<T>,
        f: impl FnOnce(&mut T, &mut Cx<'_>) -> R,
    ) -> Result<R, LeaseError> {
        self.validate(shared.key).map_err(LeaseError::Key)?;
        let core = self.core_mut();
        let d = Driver::new(&mut core.reactor);
        let n = d.data(VALUES.owner(), shared.key).unwrap_or(u64::MAX);
        let value = core.own.get(&VALUES).get_mut(n as usize).and_then(Option::take);
        let Some(value) = value else { return Err(LeaseError::Leased) };
        let back = |d: &mut Dispatch<'_>, value: Box<dyn Any>| {
            let core = &mut *d.core;
            let open = core.reactor.table.check(shared.key).is_ok();
            match core.own.get(&VALUES).get_mut(n as usize).filter(|_| open) {
                Some(place) => *place = Some(value),
                None => core.reactor.graveyard.bury_boxed(value),
            }
        };
        let call = |mut cx: Cx<'_>, value: &mut Box<dyn Any>| match value.downcast_mut() {
            Some(value) => Ok(f(value, &mut cx)),
            None => Err(LeaseError::Leased),
        };
        Dispatch::new(core).lend(value, call, back, back).0
    }
}

fn end(core: &mut Core, key: Key, n: u64) {
    core.reactor.free(key);
    if let Some(value) = core.own.get(&VALUES).try_remove(n as usize).flatten() {
        core.reactor.graveyard.bury_boxed(value);
    }
}
