//! The loop that runs on this thread, lent to code that has no context: futures, their destructors,
//! and wakers.
//!
//! [`enter`] puts a [`Frame`] there for the time of a call; [`with`] takes it out for the time of
//! another. While it is out, nobody finds it, so there is never a second `&mut` to it.

use std::cell::Cell;
use std::mem::transmute;
use std::ptr::NonNull;
use std::task::Waker;

use tidegate_loop::{AsCx, Cx, Key};

thread_local! {
    static CURRENT: Cell<Option<NonNull<Frame<'static>>>> = const { Cell::new(None) };
}

/// A loop in the middle of a call, and what the call may still do.
pub(crate) struct Frame<'a> {
    cx: Cx<'a>,
    /// The task that is polled.
    polled: Option<Polled<'a>>,
    /// Operations and bytes that are left to this poll. More bytes than these make it the last
    /// operation.
    operations: u32,
    bytes: usize,
    /// The handle in whose dispatch the task is polled: it waits there to read.
    source: Option<Key>,
    /// The same, once the poll has read all that it had.
    drained: Option<Key>,
    /// The task waits for it again.
    waits: bool,
}

/// A task in its poll: where it is, and which waker it is polled with.
#[derive(Clone, Copy)]
pub(crate) struct Polled<'a> {
    pub(crate) key: Key,
    pub(crate) at: usize,
    pub(crate) waker: &'a Waker,
}

impl<'a> Frame<'a> {
    /// For code that is no poll: destructors, wakers.
    pub(crate) fn beside(cx: Cx<'a>) -> Frame<'a> {
        Frame::of_poll(cx, None, u32::MAX, usize::MAX, None)
    }

    /// For one poll, which may do so much.
    #[inline(always)]
    pub(crate) fn of_poll(
        cx: Cx<'a>,
        polled: Option<Polled<'a>>,
        operations: u32,
        bytes: usize,
        source: Option<Key>,
    ) -> Frame<'a> {
        Frame { cx, polled, operations, bytes, source, drained: None, waits: false }
    }

    /// This task is polled, with this waker.
    #[inline]
    pub(crate) fn set_polled(&mut self, polled: Polled<'a>) {
        self.polled = Some(polled);
    }

    /// The loop, for whatever may change it.
    #[inline]
    pub(crate) fn cx(&mut self) -> Cx<'_> {
        self.drained = None;
        self.cx.cx()
    }

    /// The loop, for an operation on a connection. If it may have changed what there is to read,
    /// call [`stirred`](Frame::stirred).
    #[inline]
    pub(crate) fn cx_to_operate(&mut self) -> Cx<'_> {
        self.cx.cx()
    }

    /// There may be more to read of the source than before.
    #[inline]
    pub(crate) fn stirred(&mut self) {
        self.drained = None;
    }

    /// All that this handle had was read.
    #[inline]
    pub(crate) fn drained(&mut self, handle: Key) {
        if self.source == Some(handle) {
            self.drained = self.source;
        }
    }

    /// The polled task waits to read from this handle, if that is its source and has nothing more;
    /// else `false`, and nothing happens.
    #[inline]
    pub(crate) fn waits_again(&mut self, handle: Key, waker: &Waker) -> bool {
        let again = self.drained == Some(handle) && self.polled_with(waker).is_some();
        self.waits |= again;
        again
    }

    /// The polled task was noted as who waits to read from this handle.
    pub(crate) fn waits_for(&mut self, handle: Key) {
        self.waits |= self.source == Some(handle);
    }

    /// Whether the polled task waits for its source again.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// The task that is polled, if this is its own waker.
    #[inline]
    pub(crate) fn polled_with(&self, waker: &Waker) -> Option<Polled<'a>> {
        // Mostly it is the very same.
        self.polled.filter(|p| std::ptr::eq(p.waker, waker) || p.waker.will_wake(waker))
    }

    /// The task that is polled.
    pub(crate) fn polled(&self) -> Option<Polled<'a>> {
        self.polled
    }

    /// One operation more. `false`: the poll has had its share, and the operation has to wait for
    /// the next.
    #[inline]
    pub(crate) fn take_operation(&mut self) -> bool {
        if self.operations == 0 {
            return false;
        }
        self.operations -= 1;
        true
    }

    /// An operation moved so many bytes.
    #[inline]
    pub(crate) fn moved(&mut self, bytes: usize) {
        let (left, spent) = self.bytes.overflowing_sub(bytes);
        self.bytes = left;
        if spent {
            self.operations = 0;
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
        Some(frame) if frame != LENT => frame,
        found => return Err(none(found.is_some())),
    };
    CURRENT.set(Some(LENT));
    let _back = PutBack(Some(frame));
    // SAFETY: `enter` made this pointer from an exclusive borrow that it holds and does not use
    // while the pointer is in `CURRENT`; all of that time the frame is valid. It was taken out, so
    // that no other call finds it before `_back` puts it back, after `f`.
    Ok(f(unsafe { frame.as_mut() }))
}

#[cold]
fn none(lent: bool) -> NoFrame {
    if lent { NoFrame::Lent } else { NoFrame::Outside }
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
