//! How users' code is called: their object leaves its row for the call and comes back.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use tidegate_loop::kind::Dispatch;
use tidegate_loop::{Cx, Key};

/// A user's object that has left its row during a call. When this is dropped, after a return
/// or in a panic, the object goes to `back`, whose last argument says whether there was a
/// panic.
struct Called<'a, 'b, T> {
    d: &'a mut Dispatch<'b>,
    key: Key,
    user: Option<T>,
    panicked: bool,
    back: fn(&mut Dispatch<'_>, Key, T, bool),
}

impl<T> Drop for Called<'_, '_, T> {
    fn drop(&mut self) {
        if let Some(user) = self.user.take() {
            (self.back)(self.d, self.key, user, self.panicked);
        }
    }
}

/// Calls a user's object; there is no other way to one. Afterwards all state is consistent
/// again: call `settle`.
pub(crate) fn call<T, R>(
    d: &mut Dispatch<'_>,
    key: Key,
    user: Option<T>,
    back: fn(&mut Dispatch<'_>, Key, T, bool),
    f: impl FnOnce(&mut T, &mut Dispatch<'_>) -> R,
) -> Option<R> {
    let mut called = Called { d, key, user, panicked: true, back };
    let done = called.user.as_mut().map(|user| f(user, called.d));
    called.panicked = false;
    done
}

/// Calls user code in the middle of other work: a panic waits until that work is done. `None`
/// if it panicked.
pub(crate) fn caught<R>(cx: &mut Cx<'_>, f: impl FnOnce(&mut Cx<'_>) -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(|| f(cx))) {
        Ok(done) => Some(done),
        Err(payload) => {
            cx.driver().panic_later(payload);
            None
        }
    }
}
