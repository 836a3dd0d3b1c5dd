//! Where the layers above keep their own state: in the loop, found by type.
#![forbid(unsafe_code)]

use std::any::{Any, TypeId};

/// The state of the layers above, found by type. There are few, and the first
/// is the one that is asked for all the time.
#[derive(Default)]
pub(crate) struct Layers(Vec<(TypeId, Box<dyn Any>)>);

impl Layers {
    #[inline]
    pub(crate) fn get<E: Any + Default>(&mut self) -> &mut E {
        let at = match self.0.first() {
            Some((layer, _)) if *layer == TypeId::of::<E>() => 0,
            _ => self.find::<E>(),
        };
        match self.0[at].1.downcast_mut() {
            Some(layer) => layer,
            None => unreachable!("a layer is found by its type"),
        }
    }

    #[cold]
    fn find<E: Any + Default>(&mut self) -> usize {
        self.0.iter().position(|(layer, _)| *layer == TypeId::of::<E>()).unwrap_or_else(|| {
            self.0.push((TypeId::of::<E>(), Box::new(E::default())));
            self.0.len() - 1
        })
    }
}
