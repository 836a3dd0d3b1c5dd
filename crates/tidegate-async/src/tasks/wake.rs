//! A task that waits is woken: its poll comes in the ready pass. In the dispatch of what a task waits
//! for, it is polled at once: see `run.rs`.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use tidegate_loop::{AsCx, Cx};

use crate::state::layer::ASYNC;
use crate::sys::current::{self, Frame};
use crate::wake::waiter::Waiter;

/// Wakes where nothing may be polled: the task is polled in the ready pass.
pub(crate) fn wake(cx: &mut Cx<'_>, waiter: Waiter) {
    match waiter {
        Waiter::Nobody => {}
        Waiter::Task(task) => {
            if let Some(ticket) = cx.layer(&ASYNC).0.ticket(task) {
                ticket.wake_up();
            }
        }
        Waiter::Other(waker) => wake_other(cx, waker),
    }
}

/// A waker may be code of a user's. Its panic goes on when all state is consistent.
fn wake_other(cx: &mut Cx<'_>, waker: Waker) {
    let mut nothing = None;
    let mut frame = Frame::beside(cx.cx(), &mut nothing);
    let woken = catch_unwind(AssertUnwindSafe(|| current::enter(&mut frame, || waker.wake())));
    if let Err(payload) = woken {
        cx.driver().panic_later(payload);
    }
}
