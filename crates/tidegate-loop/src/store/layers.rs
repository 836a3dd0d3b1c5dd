//! The state of the loop's own layers (watches, shared values, work, ...): each has a
//! [`LayerId`], and the loop keeps the state under it without knowing its type. The state of the
//! layers above is found by type: see `sys/layers.rs`.
#![forbid(unsafe_code)]

use std::any::Any;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many ids have an index.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// Where each loop keeps a state of type `T`, and how the state is made.
pub(crate) struct LayerId<T> {
    /// Plus one; 0 until it is used first.
    index: AtomicUsize,
    make: fn() -> T,
    exactly: PhantomData<fn(T) -> T>,
}

impl<T> LayerId<T> {
    pub(crate) const fn new(make: fn() -> T) -> LayerId<T> {
        LayerId { index: AtomicUsize::new(0), make, exactly: PhantomData }
    }

    /// The same for the life of the process.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        match self.index.load(Ordering::Relaxed) {
            0 => self.first_index(),
            n => n - 1,
        }
    }

    #[cold]
    fn first_index(&self) -> usize {
        let new = GIVEN.fetch_add(1, Ordering::Relaxed) + 1;
        match self.index.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new - 1,
            // Another thread was here first. The new index stays unused.
            Err(n) => n - 1,
        }
    }
}

/// The states in one loop, by index. They are dropped from the highest index down.
#[derive(Default)]
pub(crate) struct LayerStates(Vec<Option<Box<dyn Any>>>);

impl LayerStates {
    /// The state of this layer, made at its first use.
    #[inline]
    pub(crate) fn get<T: Any>(&mut self, id: &LayerId<T>) -> &mut T {
        let index = id.index();
        if self.0.get(index).is_none_or(Option::is_none) {
            self.put(index, (id.make)());
        }
        match self.0[index].as_mut().and_then(|state| state.downcast_mut()) {
            Some(state) => state,
            None => unreachable!("an index belongs to one id, and so to one type"),
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
        self.put(id.index(), state);
        self
    }

    #[cold]
    fn put<T: Any>(&mut self, index: usize, state: T) {
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
        let (mut one, mut other) = (LayerStates::default(), LayerStates::default());
        *one.get(&B) += 10;
        assert_eq!((*one.get(&A), *one.get(&B)), (1, 12));
        assert_eq!((*other.get(&A), *other.get(&B)), (1, 2));
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
