//! How users' code is called: their object leaves its row for the call and comes back.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use tidegate_loop::kind::Dispatch;
use tidegate_loop::{Cx, Key};

/// Calls a user's object that was taken out of its row; there is no other way to one. It goes to
/// `back`, also in a panic, which the last argument says. Afterwards all state is consistent
/// again: call `settle`.
pub(crate) fn call<T, R>(
    d: &mut Dispatch<'_>,
    key: Key,
    user: Option<T>,
    back: fn(&mut Dispatch<'_>, Key, T, bool),
    f: impl FnOnce(&mut T, Cx<'_>) -> R,
) -> Option<R> {
    let user = user?;
    let call = |cx: Cx<'_>, user: &mut T| f(user, cx);
    let cut_off = |d: &mut Dispatch<'_>, user| back(d, key, user, true);
    Some(d.lend(user, call, |d, user| back(d, key, user, false), cut_off).0)
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
