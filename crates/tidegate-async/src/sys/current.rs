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
use tidegate_net::{LentSocket, SocketKey};

thread_local! {
    static CURRENT: Cell<Option<NonNull<Frame<'static>>>> = const { Cell::new(None) };
}

/// A loop in the middle of a call, and what the call may still do.
pub(crate) struct Frame<'a> {
    cx: Cx<'a>,
    /// The task that is polled, once it has its waker.
    task: Option<Key>,
    at: usize,
    waker: Option<&'a Waker>,
    /// Operations and bytes that are left to this poll. More bytes than these make it the last
    /// operation.
    operations: u32,
    bytes: usize,
    /// The handle in whose dispatch the task is polled: it waits there to read.
    source: Option<Key>,
    /// The same as a connection, until something else of the loop is used.
    socket: &'a mut Option<LentSocket>,
    /// The task waits for its source again.
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
    /// For code that is no poll: destructors, wakers. `nothing` is an empty place.
    pub(crate) fn beside(cx: Cx<'a>, nothing: &'a mut Option<LentSocket>) -> Frame<'a> {
        Frame::of_poll(cx, None, 0, (u32::MAX, usize::MAX), nothing)
    }

    /// For one poll of the task with this handle and this place, which has to get its waker. It may
    /// do so many operations and move so many bytes. A connection may be lent to it.
    #[inline(always)]
    pub(crate) fn of_poll(
        cx: Cx<'a>,
        task: Option<Key>,
        at: usize,
        (operations, bytes): (u32, usize),
        socket: &'a mut Option<LentSocket>,
    ) -> Frame<'a> {
        let (waker, source) = (None, None);
        Frame { cx, task, at, waker, operations, bytes, source, socket, waits: false }
    }

    /// The task is polled in the dispatch of this handle, for which it waits.
    #[inline(always)]
    pub(crate) fn read_from(self, source: Option<Key>) -> Frame<'a> {
        Frame { source, ..self }
    }

    /// The task is polled with this waker.
    #[inline]
    pub(crate) fn set_waker(&mut self, waker: &'a Waker) {
        self.waker = Some(waker);
    }

    /// The loop. Nothing of it is lent to the poll from here on.
    #[inline]
    pub(crate) fn cx(&mut self) -> Cx<'_> {
        if self.socket.is_some() {
            self.give_back();
        }
        self.cx.cx()
    }

    #[cold]
    #[inline(never)]
    fn give_back(&mut self) {
        if let Some(socket) = self.take_socket() {
            socket.give_back(&mut self.cx);
        }
    }

    /// The connection that is lent to this poll, if it still is, and has this key.
    #[inline]
    pub(crate) fn socket(&mut self, key: SocketKey) -> Option<&mut LentSocket> {
        self.socket.as_mut().filter(|s| s.key() == key)
    }

    /// The connection that is lent, to give it back.
    pub(crate) fn take_socket(&mut self) -> Option<LentSocket> {
        let socket = self.socket.take()?;
        self.waits |= socket.is_awaited();
        Some(socket)
    }

    /// The polled task waits to read from this connection, if that is lent and has nothing more;
    /// else `false`, and nothing happens.
    #[inline]
    pub(crate) fn waits_again(&mut self, key: SocketKey, waker: &Waker) -> bool {
        let own = self.waker.map_or(std::ptr::null(), std::ptr::from_ref);
        let is_own = std::ptr::eq(own, waker) || self.polled_with(waker).is_some();
        is_own && self.socket(key).is_some_and(LentSocket::wait)
    }

    /// The polled task was noted as who waits to read from this handle.
    pub(crate) fn waits_for(&mut self, handle: Key) {
        self.waits |= self.source == Some(handle);
    }

    /// Whether the polled task waits for its source again, and the connection is not lent any more.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// The task that is polled, if this is its own waker.
    #[inline]
    pub(crate) fn polled_with(&self, waker: &Waker) -> Option<Polled<'a>> {
        // Mostly it is the very same.
        self.polled().filter(|p| std::ptr::eq(p.waker, waker) || p.waker.will_wake(waker))
    }

    /// The task that is polled.
    #[inline]
    pub(crate) fn polled(&self) -> Option<Polled<'a>> {
        Some(Polled { key: self.task?, at: self.at, waker: self.waker? })
    }

    /// One operation more. `false`: the poll has had its share, and the operation has to wait for
    /// the next.
    #[inline]
    pub(crate) fn take_operation(&mut self) -> bool {
        let (left, spent) = self.operations.overflowing_sub(1);
        self.operations = left;
        if spent {
            self.operations = 0;
        }
        !spent
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
        enter(&mut Frame::beside(outer.cx(), &mut None), || {
            assert_eq!(handles(), Ok(1));
            enter(&mut Frame::beside(inner.cx(), &mut None), || assert_eq!(handles(), Ok(2)));
            assert_eq!(handles(), Ok(1));
        });
        assert_eq!(handles(), Err(NoFrame::Outside));
    }

    #[test]
    fn it_is_lent_to_one_at_a_time() {
        let mut lp = looped(1);
        enter(&mut Frame::beside(lp.cx(), &mut None), || {
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
        enter(&mut Frame::beside(lp.cx(), &mut None), || {
            let inside = catch_unwind(AssertUnwindSafe(|| with(|_| panic!("inside"))));
            assert!(inside.is_err());
            assert_eq!(handles(), Ok(3));
        });
        let entered = catch_unwind(AssertUnwindSafe(|| {
            enter(&mut Frame::beside(lp.cx(), &mut None), || panic!("entered"));
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
