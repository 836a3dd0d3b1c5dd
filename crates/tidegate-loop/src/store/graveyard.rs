//! The graveyard: values of users that an API call displaced. A replaced closure, a cancelled
//! timer or a swapped handler is kept here, because dropping it runs user code and an API call
//! never does. The loop empties the graveyard after the current callback.
#![forbid(unsafe_code)]

use std::any::Any;

/// What a callback panicked with.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Values that wait for their drop, and panics that wait for a place where all state is whole.
#[derive(Default)]
pub(crate) struct Graveyard {
    /// While there is a panic, the first is `()`: asking for both is one look.
    values: Vec<Box<dyn Any>>,
    panics: Vec<Payload>,
}

impl Graveyard {
    /// For a value that is not boxed. (In its box, a closure is a value of the type of the box.)
    pub(crate) fn bury(&mut self, value: impl Any) {
        self.bury_boxed(Box::new(value));
    }

    #[inline]
    pub(crate) fn bury_boxed(&mut self, value: Box<dyn Any>) {
        self.values.push(value);
    }

    pub(crate) fn panic_later(&mut self, payload: Payload) {
        self.values.insert(0, Box::new(()));
        self.panics.push(payload);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value that came last. One at a time: a drop that panics leaves the others for the
    /// next time.
    #[inline]
    pub(crate) fn take_value(&mut self) -> Option<Box<dyn Any>> {
        self.values.pop()
    }

    /// A panic, when there is no value left.
    #[inline]
    pub(crate) fn take_panic(&mut self) -> Option<Payload> {
        if self.panics.is_empty() { None } else { self.take_last_panic() }
    }

    #[cold]
    fn take_last_panic(&mut self) -> Option<Payload> {
        let payload = self.panics.pop();
        if !self.panics.is_empty() {
            self.values.insert(0, Box::new(()));
        }
        payload
    }
}
