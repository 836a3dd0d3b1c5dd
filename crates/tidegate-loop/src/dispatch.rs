//! [`Dispatch`]: the loop in the hands of who runs callbacks.
#![forbid(unsafe_code)]

use std::any::Any;

use crate::cx::Cx;
use crate::driver::Driver;
use crate::turn::Core;

/// What [`Kind`](crate::Kind)'s functions get: the loop, in the hands of a
/// dispatcher. Only a `Dispatch` may run callbacks, and users never hold one;
/// that is how no API call can run user code.
///
/// ```
/// use tidegate_loop::{Dispatch, Key};
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
    scratch: Option<&'a mut Vec<u8>>,
}

impl<'a> Dispatch<'a> {
    pub(crate) fn new(core: &'a mut Core) -> Dispatch<'a> {
        Dispatch { core, scratch: None }
    }

    #[inline]
    pub(crate) fn lending(core: &'a mut Core, scratch: Option<&'a mut Vec<u8>>) -> Dispatch<'a> {
        Dispatch { core, scratch }
    }

    /// Memory of the loop's to read into, at least `len` bytes of whatever was there
    /// before, and the dispatch beside it, which may run callbacks while it is lent. `None`
    /// outside of [`Kind::ready`](crate::Kind::ready), and while it is lent already.
    ///
    /// ```
    /// use tidegate_loop::{Dispatch, Key};
    /// fn ready(d: &mut Dispatch<'_>, key: Key, _data: u64) {
    ///     let Some((buffer, mut d)) = d.lend_scratch(64 * 1024) else { return };
    ///     buffer[..4].copy_from_slice(b"tide");
    ///     d.driver().queue(key);
    /// }
    /// # let _: fn(&mut Dispatch<'_>, Key, u64) = ready;
    /// ```
    #[inline]
    pub fn lend_scratch(&mut self, len: usize) -> Option<(&mut [u8], Dispatch<'_>)> {
        let scratch = self.scratch.as_deref_mut()?;
        if scratch.len() < len {
            scratch.resize(len, 0);
        }
        Some((scratch, Dispatch { core: self.core, scratch: None }))
    }

    /// A context to lend to one callback. Make a new one for the next.
    #[inline]
    pub fn cx(&mut self) -> Cx<'_> {
        Cx::new(self.core)
    }

    /// The driver.
    #[inline]
    pub fn driver(&mut self) -> Driver<'_> {
        Driver { r: &mut self.core.reactor }
    }

    /// The layer's state and the driver, as [`Cx::parts`].
    #[inline]
    pub fn parts<E: Any + Default>(&mut self) -> (&mut E, Driver<'_>) {
        (self.core.layers.get(), Driver { r: &mut self.core.reactor })
    }

    /// Whether [`settle`](Dispatch::settle) would have nothing to do.
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.core.is_settled()
    }

    /// To be called after each user callback, when all state is whole again:
    /// runs its ticks and drops what it displaced.
    #[inline]
    pub fn settle(&mut self) {
        self.core.settle();
    }
}
