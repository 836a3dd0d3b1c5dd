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
use crate::sys::current::{self, Frame};
use crate::wake::waiter::{Waiter, Waits};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Read,
    Write,
}

enum Step {
    Done(io::Result<usize>),
    Waits(Waiter),
    /// This poll has had its share.
    Spent,
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
        self.done(cx.waker(), step.unwrap_or_else(|e| missing(e.into()))).map_ok(|_| ())
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
        self.done(cx.waker(), step.unwrap_or_else(|e| missing(e.into()))).map_ok(|_| ())
    }

    /// One operation of the kernel's.
    #[inline]
    fn step(
        &self,
        waker: &Waker,
        side: Side,
        operate: impl FnOnce(&mut SocketCx<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let step = current::with(|frame| {
            if !frame.take_operation() {
                frame.cx().layer(&ASYNC).0.metrics.budget_spent += 1;
                return Step::Spent;
            }
            match operate(&mut frame.cx().socket(self.key)) {
                Ok(n) => {
                    frame.moved(n);
                    Step::Done(Ok(n))
                }
                Err(e) => self.not_now(frame, waker, side, e),
            }
        });
        match step {
            Ok(Step::Done(Ok(n))) => Poll::Ready(Ok(n)),
            Ok(Step::Waits(Waiter::Nobody)) => Poll::Pending,
            other => self.done(waker, other.unwrap_or_else(|e| missing(e.into()))),
        }
    }

    /// It waits, or it is over.
    fn not_now(&self, frame: &mut Frame<'_>, waker: &Waker, side: Side, e: io::Error) -> Step {
        // `NotConnected` is that of a connection that is over, or about to be: then its end is
        // told, and says why.
        if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) {
            return Step::Done(Err(e));
        }
        let by = Waits::new(frame, waker);
        let mut cx = frame.cx();
        let Some(state) = cx.layer(&ASYNC).0.socket(self.key, self.at) else {
            return Step::Done(Err(NotOnLoop::Foreign.into()));
        };
        match (&state.over, side) {
            (Some(over), Side::Read) if is_plain_end(over) => return Step::Done(Ok(0)),
            (Some(over), Side::Write) if is_plain_end(over) => {
                return Step::Done(Err(ErrorKind::BrokenPipe.into()));
            }
            (Some(over), _) => return Step::Done(ended(over)),
            (None, _) => {}
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
    fn done(&self, waker: &Waker, step: Step) -> Poll<io::Result<usize>> {
        match step {
            Step::Done(done) => Poll::Ready(done),
            Step::Waits(before) => {
                drop(before);
                Poll::Pending
            }
            Step::Spent => {
                waker.wake_by_ref();
                Poll::Pending
            }
        }
    }
}

fn missing(e: NotOnLoop) -> Step {
    Step::Done(Err(e.into()))
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
