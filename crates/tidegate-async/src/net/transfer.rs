//! How bytes move: one operation now, or the task waits. Polls of an [`AsyncSocket`], for adapters
//! and for futures written by hand.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, Waker};

use tidegate_net::{Net, SocketCx};

use crate::error::connect::kind_of;
use crate::error::not_on_loop::NotOnLoop;
use crate::net::protocol::is_plain_end;
use crate::net::socket::AsyncSocket;
use crate::state::layer::ASYNC;
use crate::state::net::{Flush, Over};
use crate::sys::current::{self, Frame, NoFrame};
use crate::wake::waiter::{Waiter, Waits};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Read,
    Write,
}

enum Step {
    Done(io::Result<usize>),
    /// It waits in place of this one.
    Waits(Waiter),
}

impl AsyncSocket {
    /// Reads now, or has the task woken when there is something to read:
    /// [`read`](AsyncSocket::read) as a poll.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use tidegate_async::AsyncSocket;
    /// async fn first(socket: &AsyncSocket) -> std::io::Result<u8> {
    ///     let mut byte = [0];
    ///     poll_fn(|cx| socket.poll_read(cx, &mut byte)).await?;
    ///     Ok(byte[0])
    /// }
    /// # let _ = first;
    /// ```
    #[inline]
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.step(cx.waker(), Side::Read, |s| s.read_now(buffer))
    }

    /// Writes now, or has the task woken when there is room: [`write`](AsyncSocket::write) as a
    /// poll.
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.step(cx.waker(), Side::Write, |s| s.write_now(&[IoSlice::new(bytes)]))
    }

    /// [`write_vectored`](AsyncSocket::write_vectored) as a poll.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.step(cx.waker(), Side::Write, |s| s.write_now(pieces))
    }

    /// [`flush`](AsyncSocket::flush) as a poll.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = current::with(|frame| {
            let by = Waits::new(frame, cx.waker());
            let mut cx = frame.cx();
            let waits = cx.socket(self.key).buffered() > 0;
            let Some(state) = cx.layer(&ASYNC).0.socket(self.key, self.at) else {
                return Step::Done(Err(NotOnLoop::Foreign.into()));
            };
            if let Some(over) = &state.over {
                return Step::Done(ended(over));
            }
            if !waits || state.flush == Flush::Done {
                state.flush = Flush::Unasked;
                return Step::Done(Ok(0));
            }
            let (asked, before) = (state.flush == Flush::Awaited, state.writer.keep(by));
            state.flush = Flush::Awaited;
            if !asked {
                // What follows the bytes that wait; it learns when they are out.
                let _ = cx.socket(self.key).write_id(&b""[..], 0);
            }
            Step::Waits(before)
        });
        self.done(step).map_ok(|_| ())
    }

    /// [`shutdown`](AsyncSocket::shutdown) as a poll.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = current::with(|frame| {
            let by = Waits::new(frame, cx.waker());
            let mut cx = frame.cx();
            let Some(state) = cx.layer(&ASYNC).0.socket(self.key, self.at) else {
                return Step::Done(Err(NotOnLoop::Foreign.into()));
            };
            if state.finished {
                return Step::Done(Ok(0));
            }
            match &state.over {
                Some(over) if is_plain_end(over) => return Step::Done(Ok(0)),
                Some(over) => return Step::Done(ended(over)),
                None => {}
            }
            let before = state.writer.keep(by);
            cx.socket(self.key).end();
            Step::Waits(before)
        });
        self.done(step).map_ok(|_| ())
    }

    /// One operation of the kernel's.
    #[inline]
    fn step(
        &self,
        waker: &Waker,
        side: Side,
        operate: impl FnOnce(&mut SocketCx<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let tried = current::with(|frame| {
            if !frame.take_operation() {
                return None;
            }
            let tried = operate(&mut frame.cx().socket(self.key));
            if let Ok(n) = tried {
                frame.moved(n);
            }
            Some(tried)
        });
        match tried {
            Ok(Some(Ok(n))) => Poll::Ready(Ok(n)),
            Ok(Some(Err(e))) if e.kind() == ErrorKind::WouldBlock => self.waits(waker, side),
            Ok(Some(Err(e))) => self.not_now(waker, side, e),
            Ok(None) => self.spent(waker),
            Err(e) => Poll::Ready(Err(NotOnLoop::from(e).into())),
        }
    }

    /// This poll has had its share: the rest comes in the next turn.
    #[cold]
    #[inline(never)]
    fn spent(&self, waker: &Waker) -> Poll<io::Result<usize>> {
        let _ = current::with(|frame| frame.cx().layer(&ASYNC).0.metrics.budget_spent += 1);
        waker.wake_by_ref();
        Poll::Pending
    }

    /// An operation failed. `NotConnected` is that of a connection that is over, or about to be:
    /// then the result is the reason of its close.
    #[cold]
    #[inline(never)]
    fn not_now(&self, waker: &Waker, side: Side, e: io::Error) -> Poll<io::Result<usize>> {
        match e.kind() {
            ErrorKind::NotConnected => self.waits(waker, side),
            _ => Poll::Ready(Err(e)),
        }
    }

    /// It waits, or it is over.
    #[inline(never)]
    fn waits(&self, waker: &Waker, side: Side) -> Poll<io::Result<usize>> {
        match current::with(|frame| self.wait(frame, waker, side)) {
            Ok(Step::Waits(Waiter::Nobody)) => Poll::Pending,
            step => self.done(step),
        }
    }

    #[inline(always)]
    fn wait(&self, frame: &mut Frame<'_>, waker: &Waker, side: Side) -> Step {
        let by = Waits::new(frame, waker);
        let mut cx = frame.cx();
        let Some(state) = cx.layer(&ASYNC).0.socket(self.key, self.at) else {
            return Step::Done(Err(NotOnLoop::Foreign.into()));
        };
        if let Some(over) = &state.over {
            return Step::Done(over_for(over, side));
        }
        match side {
            Side::Write => Step::Waits(state.writer.keep(by)),
            Side::Read => {
                let before = state.reader.keep(by);
                if std::mem::take(&mut state.paused) {
                    cx.socket(self.key).resume();
                }
                Step::Waits(before)
            }
        }
    }

    /// The end of a poll, with nothing of the loop borrowed.
    #[inline(never)]
    fn done(&self, step: Result<Step, NoFrame>) -> Poll<io::Result<usize>> {
        match step {
            Ok(Step::Done(done)) => Poll::Ready(done),
            Ok(Step::Waits(before)) => {
                drop(before);
                Poll::Pending
            }
            Err(e) => Poll::Ready(Err(NotOnLoop::from(e).into())),
        }
    }
}

/// The result of an operation on a connection that is over.
#[cold]
fn over_for(over: &Over, side: Side) -> io::Result<usize> {
    match side {
        Side::Read if is_plain_end(over) => Ok(0),
        Side::Write if is_plain_end(over) => Err(ErrorKind::BrokenPipe.into()),
        _ => ended(over),
    }
}

/// The error of an operation on a connection that is over.
fn ended(over: &Over) -> io::Result<usize> {
    match over {
        Over::Closed(reason) => Err(io::Error::new(kind_of(reason), reason.to_string())),
        Over::Taken => {
            let text = "a handler or another protocol has taken the connection";
            Err(io::Error::new(ErrorKind::NotConnected, text))
        }
    }
}
