//! The state of each layer in a loop: found by the index of its [`LayerId`].
//!
//! A dispatch asks for it several times, and `Box<dyn Any>` would ask its vtable for the type each
//! time. An index belongs to one id, and so to one type: that is why this is unsafe, and why it
//! is here.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many owners have an index.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// The owner of a kind of handles: the loop gives a [`Handle`](crate::kind::Handle) only to code
/// that has its owner. Every [`LayerId`] has one.
///
/// ```
/// use tidegate_loop::kind::{Kind, Owner};
/// static TIDES: Owner = Owner::new();
/// static TIDE: Kind = Kind::new("tide", &TIDES);
/// assert_eq!(TIDE.name(), "tide");
/// ```
pub struct Owner {
    /// 0 until it is used first.
    index: AtomicUsize,
}

impl Owner {
    /// A new owner, for a `static`.
    #[allow(clippy::new_without_default)] // two of them are never the same
    pub const fn new() -> Owner {
        Owner { index: AtomicUsize::new(0) }
    }

    /// From 1; the same for the life of the process.
    pub(crate) fn index(&self) -> usize {
        match self.index.load(Ordering::Relaxed) {
            0 => self.first_index(),
            n => n,
        }
    }

    #[cold]
    fn first_index(&self) -> usize {
        let new = GIVEN.fetch_add(1, Ordering::Relaxed) + 1;
        match self.index.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            // Another thread was here first. The new index stays unused.
            Err(n) => n,
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").finish_non_exhaustive()
    }
}

/// Names a layer: each loop keeps a state of type `T` for it, made by a function at its first
/// use. The layer's handles belong to its [`owner`](LayerId::owner).
///
/// ```
/// use tidegate_loop::kind::LayerId;
/// use tidegate_loop::{AsCx, Loop};
/// static PIPES: LayerId<Vec<u32>> = LayerId::new(Vec::new);
/// let mut lp = Loop::new()?;
/// lp.cx().layer(&PIPES).0.push(1);
/// assert_eq!(lp.cx().layer(&PIPES).0.len(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LayerId<T> {
    owner: Owner,
    make: fn() -> T,
    exactly: PhantomData<fn(T) -> T>,
}

impl<T> LayerId<T> {
    /// A new layer, for a `static`.
    pub const fn new(make: fn() -> T) -> LayerId<T> {
        LayerId { owner: Owner::new(), make, exactly: PhantomData }
    }

    /// The owner of the layer's handles.
    #[inline(always)]
    pub const fn owner(&'static self) -> &'static Owner {
        &self.owner
    }

    /// Where its states are, from 1.
    pub(crate) fn index(&self) -> usize {
        self.owner.index()
    }
}

impl<T> fmt::Debug for LayerId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerId").finish_non_exhaustive()
    }
}

/// The states in one loop, by index; there is none at 0. They are dropped from the highest index
/// down.
#[derive(Default)]
pub(crate) struct LayerStates(Vec<Option<Box<dyn Any>>>);

impl LayerStates {
    /// The state of this layer, made at its first use.
    #[inline]
    pub(crate) fn get<T: Any>(&mut self, id: &LayerId<T>) -> &mut T {
        // An owner without an index finds nothing at 0.
        match self.0.get_mut(id.owner.index.load(Ordering::Relaxed)) {
            Some(Some(state)) => {
                let state: *mut dyn Any = &mut **state;
                // SAFETY: `put` alone fills a place, with the type of the id that has this
                // index. No other id gets the same index, and `T` is exactly the type of the id.
                // The result borrows `self`, and so the box, mutably.
                unsafe { &mut *state.cast::<T>() }
            }
            _ => self.made(id),
        }
    }

    #[cold]
    #[inline(never)]
    fn made<T: Any>(&mut self, id: &LayerId<T>) -> &mut T {
        self.put(id, (id.make)());
        match self.0[id.index()].as_mut().and_then(|state| state.downcast_mut()) {
            Some(state) => state,
            None => unreachable!("it was put there"),
        }
    }

    /// The state, if it was made.
    #[cfg(feature = "work")]
    pub(crate) fn peek<T: Any>(&self, id: &LayerId<T>) -> Option<&T> {
        self.0.get(id.index())?.as_ref()?.downcast_ref()
    }

    /// With a state that is made in another way than by its id.
    #[cfg(feature = "work")]
    pub(crate) fn with<T: Any>(mut self, id: &LayerId<T>, state: T) -> LayerStates {
        self.put(id, state);
        self
    }

    #[cold]
    fn put<T: Any>(&mut self, id: &LayerId<T>, state: T) {
        let index = id.index();
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(Box::new(state));
    }
}

impl Drop for LayerStates {
    fn drop(&mut self) {
        while let Some(state) = self.0.pop() {
            drop(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn each_id_has_its_own_state_in_each_loop() {
        static A: LayerId<u32> = LayerId::new(|| 1);
        static B: LayerId<u32> = LayerId::new(|| 2);
        static C: LayerId<String> = LayerId::new(String::new);
        let (mut one, mut other) = (LayerStates::default(), LayerStates::default());
        *one.get(&B) += 10;
        *one.get(&C) += "x";
        assert_eq!((*one.get(&A), *one.get(&B), one.get(&C).len()), (1, 12, 1));
        assert_eq!((*other.get(&A), *other.get(&B), other.get(&C).len()), (1, 2, 0));
    }

    #[test]
    fn states_end_from_the_highest_index_down() {
        struct Log(&'static str, Rc<RefCell<Vec<&'static str>>>);
        impl Drop for Log {
            fn drop(&mut self) {
                self.1.borrow_mut().push(self.0);
            }
        }
        static LOW: LayerId<Option<Log>> = LayerId::new(|| None);
        static HIGH: LayerId<Option<Log>> = LayerId::new(|| None);
        assert!(LOW.index() < HIGH.index());
        let log = Rc::default();
        let mut states = LayerStates::default();
        *states.get(&LOW) = Some(Log("low", Rc::clone(&log)));
        *states.get(&HIGH) = Some(Log("high", Rc::clone(&log)));
        drop(states);
        assert_eq!(*log.borrow(), ["high", "low"]);
    }
}
