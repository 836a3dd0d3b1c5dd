//! Where the layers above keep their own state: in the loop, found by type.
//!
//! A callback asks for it several times. `Box<dyn Any>` would ask its vtable for the type
//! each time; here the type is beside the value, and asking is one comparison. That is why
//! this is unsafe, and why it is here.

use std::any::{Any, TypeId};

struct Layer {
    /// Of `state`; neither changes.
    id: TypeId,
    state: Box<dyn Any>,
}

impl Layer {
    fn new<E: Any>(state: E) -> Layer {
        Layer { id: TypeId::of::<E>(), state: Box::new(state) }
    }

    #[inline]
    fn is<E: Any>(&self) -> bool {
        self.id == TypeId::of::<E>()
    }
}

/// The state of the layers above, found by type. There are few, and the first
/// is the one that is asked for all the time.
#[derive(Default)]
pub(crate) struct Layers(Vec<Layer>);

impl Layers {
    #[inline]
    pub(crate) fn get<E: Any + Default>(&mut self) -> &mut E {
        match self.0.first_mut() {
            Some(first) if first.is::<E>() => {
                let state: *mut dyn Any = &mut *first.state;
                // SAFETY: the box was made of a value of the type that `id` names, which is
                // `E`; the result borrows `self`, and so the box, mutably.
                unsafe { &mut *state.cast::<E>() }
            }
            _ => self.find(),
        }
    }

    #[cold]
    fn find<E: Any + Default>(&mut self) -> &mut E {
        let at = self.0.iter().position(Layer::is::<E>).unwrap_or_else(|| {
            self.0.push(Layer::new(E::default()));
            self.0.len() - 1
        });
        match self.0[at].state.downcast_mut() {
            Some(state) => state,
            None => unreachable!("a layer is found by its type"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_own_state() {
        let mut layers = Layers::default();
        for n in 1..4u8 {
            *layers.get::<u64>() += 1;
            *layers.get::<String>() += "x";
            assert_eq!(*layers.get::<u64>(), u64::from(n));
            assert_eq!(layers.get::<String>().len(), usize::from(n));
            assert_eq!(layers.get::<i64>(), &0, "not the bits of another type");
        }
    }
}
