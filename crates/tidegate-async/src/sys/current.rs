//! The loop that runs on this thread, lent to code that has no context: futures, their destructors,
//! and wakers.
//!
//! [`enter`] puts a [`Frame`] there for the time of a call; [`with`] takes it out for the time of
//! another. While it is out, nobody finds it, so there is never a second `&mut` to it.

use std::cell::Cell;
use std::mem::transmute;
use std::ptr::NonNull;
use std::task::{RawWakerVTable, Waker};

use tidegate_loop::{AsCx, Cx, Key};

thread_local! {
    static CURRENT: Cell<Option<NonNull<Frame<'static>>>> = const { Cell::new(None) };
}

/// A loop in the middle of a call, and what the call may still do.
pub(crate) struct Frame<'a> {
    cx: Cx<'a>,
    /// The task that is polled.
    polled: Option<Polled>,
    /// Operations and bytes that are left to this poll.
    operations: u32,
    bytes: usize,
}

/// A task in its poll: where it is, and which waker it was polled with.
#[derive(Clone, Copy)]
pub(crate) struct Polled {
    pub(crate) key: Key,
    pub(crate) at: usize,
    data: *const (),
    table: &'static RawWakerVTable,
}

impl Polled {
    pub(crate) fn new(key: Key, at: usize, waker: &Waker) -> Polled {
        Polled { key, at, data: waker.data(), table: waker.vtable() }
    }
}

impl<'a> Frame<'a> {
    /// For code that is no poll: destructors, wakers.
    pub(crate) fn beside(cx: Cx<'a>) -> Frame<'a> {
        Frame { cx, polled: None, operations: u32::MAX, bytes: usize::MAX }
    }

    /// For one poll, which may do so much.
    pub(crate) fn of_poll(
        cx: Cx<'a>,
        polled: Option<Polled>,
        operations: u32,
        bytes: usize,
    ) -> Frame<'a> {
        Frame { cx, polled, operations, bytes }
    }

    #[inline]
    pub(crate) fn cx(&mut self) -> Cx<'_> {
        self.cx.cx()
    }

    /// The task that is polled, if this is its own waker.
    #[inline]
    pub(crate) fn polled_with(&self, waker: &Waker) -> Option<Polled> {
        self.polled.filter(|p| p.data == waker.data() && std::ptr::eq(p.table, waker.vtable()))
    }

    /// The task that is polled.
    pub(crate) fn polled(&self) -> Option<Polled> {
        self.polled
    }

    /// One operation more. `false`: the poll has had its share, and the operation has to wait for
    /// the next.
    #[inline]
    pub(crate) fn take_operation(&mut self) -> bool {
        match self.operations.checked_sub(1) {
            Some(left) => self.operations = left,
            None => return false,
        }
        true
    }

    /// An operation moved so many bytes.
    #[inline]
    pub(crate) fn moved(&mut self, bytes: usize) {
        match self.bytes.checked_sub(bytes) {
            Some(left) => self.bytes = left,
            None => self.operations = 0,
        }
    }
}

/// Puts back what was there before, also when a panic unwinds.
struct PutBack(Option<NonNull<Frame<'static>>>);

impl Drop for PutBack {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Lends the frame to [`with`] for the time of `f`. Calls for several loops may stand in each
/// other.
#[inline]
pub(crate) fn enter<R>(frame: &mut Frame<'_>, f: impl FnOnce() -> R) -> R {
    let frame = NonNull::from(frame);
    // SAFETY: only the lifetime changes. `with`, the only reader, lends the frame to closures that
    // work for every lifetime, and so cannot keep what it borrows; and the pointer is in `CURRENT`
    // only until this function ends, however it does.
    let frame = unsafe { transmute::<NonNull<Frame<'_>>, NonNull<Frame<'static>>>(frame) };
    let _before = PutBack(CURRENT.replace(Some(frame)));
    f()
}

/// Why there is no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoFrame {
    Outside,
    /// An outer call of [`with`] has it.
    Lent,
}

/// In the place of a frame that is lent. No frame is there: this is no address of one.
const LENT: NonNull<Frame<'static>> = NonNull::dangling();

/// Calls `f` with the frame of the innermost [`enter`] of this thread.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&mut Frame<'_>) -> R) -> Result<R, NoFrame> {
    let mut frame = match CURRENT.get() {
        None => return Err(NoFrame::Outside),
        Some(frame) if frame == LENT => return Err(NoFrame::Lent),
        Some(frame) => frame,
    };
    CURRENT.set(Some(LENT));
    let _back = PutBack(Some(frame));
    // SAFETY: `enter` made this pointer from an exclusive borrow that it holds and does not use
    // while the pointer is in `CURRENT`; all of that time the frame is valid. It was taken out, so
    // that no other call finds it before `_back` puts it back, after `f`.
    Ok(f(unsafe { frame.as_mut() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use tidegate_loop::Loop;

    fn handles() -> Result<usize, NoFrame> {
        with(|frame| frame.cx().handles())
    }

    fn looped(timers: usize) -> Loop {
        let mut lp = Loop::new().unwrap();
        for _ in 0..timers {
            lp.check(|_, _| {});
        }
        lp
    }

    #[test]
    fn the_innermost_loop_is_found_and_the_outer_one_after_it() {
        let (mut outer, mut inner) = (looped(1), looped(2));
        assert_eq!(handles(), Err(NoFrame::Outside));
        enter(&mut Frame::beside(outer.cx()), || {
            assert_eq!(handles(), Ok(1));
            enter(&mut Frame::beside(inner.cx()), || assert_eq!(handles(), Ok(2)));
            assert_eq!(handles(), Ok(1));
        });
        assert_eq!(handles(), Err(NoFrame::Outside));
    }

    #[test]
    fn it_is_lent_to_one_at_a_time() {
        let mut lp = looped(1);
        enter(&mut Frame::beside(lp.cx()), || {
            let inner = with(|frame| {
                let inner = handles();
                frame.cx().check(|_, _| {});
                inner
            });
            assert_eq!((inner, handles()), (Ok(Err(NoFrame::Lent)), Ok(2)));
        });
    }

    #[test]
    fn a_panic_puts_it_back() {
        let mut lp = looped(3);
        enter(&mut Frame::beside(lp.cx()), || {
            let inside = catch_unwind(AssertUnwindSafe(|| with(|_| panic!("inside"))));
            assert!(inside.is_err());
            assert_eq!(handles(), Ok(3));
        });
        let entered = catch_unwind(AssertUnwindSafe(|| {
            enter(&mut Frame::beside(lp.cx()), || panic!("entered"));
        }));
        assert!(entered.is_err());
        assert_eq!(handles(), Err(NoFrame::Outside));
    }

    #[test]
    fn it_is_there_until_the_thread_ends() {
        struct Last;
        impl Drop for Last {
            fn drop(&mut self) {
                assert_eq!(handles(), Err(NoFrame::Outside));
            }
        }
        thread_local!(static LAST: Last = const { Last });
        std::thread::spawn(|| LAST.with(|_| assert_eq!(handles(), Err(NoFrame::Outside))))
            .join()
            .unwrap();
    }
}
