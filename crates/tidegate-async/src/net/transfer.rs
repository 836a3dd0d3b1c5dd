//! How bytes move: one operation now, or the task waits. Polls of an [`AsyncSocket`], for adapters
//! and for futures written by hand.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, Waker};

use tidegate_net::{LentSocket, Net};

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

/// An operation of the kernel's on the connection that is lent to the poll.
enum Tried {
    Moved(usize),
    /// Tried: not all of it moved, nothing did, or it failed.
    Short(io::Result<usize>),
    /// Not tried: it would find nothing, and the task waits for more.
    Waits,
    /// Not tried: the connection is not lent to this poll.
    NotLent,
    /// Not tried: this poll has had its share.
    Spent,
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
        let waker = cx.waker();
        let tried = current::with(|frame| {
            let drained = match frame.socket(self.key) {
                Some(socket) if !buffer.is_empty() => socket.is_drained(),
                _ => return Tried::NotLent,
            };
            if drained {
                let waits = frame.waits_again(self.key, waker);
                return if waits { Tried::Waits } else { Tried::NotLent };
            }
            if !frame.take_operation() {
                return Tried::Spent;
            }
            match frame.socket(self.key).map(|socket| socket.read(buffer)) {
                Some(Ok(n)) if n > 0 => {
                    frame.moved(n);
                    Tried::Moved(n)
                }
                Some(done) => Tried::Short(done),
                None => Tried::NotLent,
            }
        });
        match tried {
            Ok(Tried::Moved(n)) => Poll::Ready(Ok(n)),
            Ok(Tried::Waits) => Poll::Pending,
            other => self.read_slowly(waker, buffer, other),
        }
    }

    /// Writes now, or has the task woken when there is room: [`write`](AsyncSocket::write) as a
    /// poll.
    #[inline]
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waker = cx.waker();
        let tried = self.write_lent(bytes.len(), |socket| socket.write(bytes));
        match tried {
            Ok(Tried::Moved(n)) => Poll::Ready(Ok(n)),
            other => self.write_slowly(waker, &[IoSlice::new(bytes)], other),
        }
    }

    /// [`write_vectored`](AsyncSocket::write_vectored) as a poll.
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let waker = cx.waker();
        let all = pieces.iter().map(|piece| piece.len()).sum();
        let tried = match pieces.len() {
            0..=LentSocket::PIECES => self.write_lent(all, |s| s.write_pieces(pieces, all)),
            _ => Ok(Tried::NotLent),
        };
        match tried {
            Ok(Tried::Moved(n)) => Poll::Ready(Ok(n)),
            other => self.write_slowly(waker, pieces, other),
        }
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

    /// One write of the kernel's, of so many bytes, if the connection is lent to this poll.
    #[inline(always)]
    fn write_lent(
        &self,
        all: usize,
        write: impl FnOnce(&mut LentSocket) -> io::Result<usize>,
    ) -> Result<Tried, NoFrame> {
        current::with(|frame| {
            if all == 0 || frame.socket(self.key).is_none() {
                return Tried::NotLent;
            }
            if !frame.take_operation() {
                return Tried::Spent;
            }
            match frame.socket(self.key).map(write) {
                Some(Ok(n)) if n == all => {
                    frame.moved(n);
                    Tried::Moved(n)
                }
                Some(done) => Tried::Short(done),
                None => Tried::NotLent,
            }
        })
    }

    /// A read that the quick way did not end.
    #[cold]
    #[inline(never)]
    fn read_slowly(
        &self,
        waker: &Waker,
        buffer: &mut [u8],
        tried: Result<Tried, NoFrame>,
    ) -> Poll<io::Result<usize>> {
        self.slowly(waker, Side::Read, tried, |frame, done| match done {
            Some((socket, done)) => socket.end_read(&mut frame.cx(), buffer, done),
            None => frame.cx().socket(self.key).read_now(buffer),
        })
    }

    /// A write that the quick way did not end.
    #[cold]
    #[inline(never)]
    fn write_slowly(
        &self,
        waker: &Waker,
        pieces: &[IoSlice<'_>],
        tried: Result<Tried, NoFrame>,
    ) -> Poll<io::Result<usize>> {
        self.slowly(waker, Side::Write, tried, |frame, done| match done {
            Some((socket, done)) => socket.end_write(&mut frame.cx(), pieces, done),
            None => frame.cx().socket(self.key).write_now(pieces),
        })
    }

    /// Goes on with what the lent connection did not do, or does all of it.
    fn slowly(
        &self,
        waker: &Waker,
        side: Side,
        tried: Result<Tried, NoFrame>,
        operate: impl FnOnce(
            &mut Frame<'_>,
            Option<(LentSocket, io::Result<usize>)>,
        ) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let tried = match tried {
            Ok(tried) => tried,
            Err(e) => return Poll::Ready(Err(NotOnLoop::from(e).into())),
        };
        let short = match tried {
            Tried::Moved(n) => return Poll::Ready(Ok(n)),
            Tried::Waits => return Poll::Pending,
            Tried::Spent => return self.spent(waker),
            Tried::Short(done) => Some(done),
            Tried::NotLent => None,
        };
        let operated = current::with(|frame| {
            let lent = match short {
                Some(done) => frame.take_socket().map(|socket| (socket, done)),
                None if frame.take_operation() => None,
                None => return None,
            };
            let done = operate(frame, lent);
            if let Ok(n) = done {
                frame.moved(n);
            }
            Some(done)
        });
        match operated {
            Ok(Some(Ok(n))) => Poll::Ready(Ok(n)),
            Ok(Some(Err(e))) => match e.kind() {
                // `NotConnected` is of a connection that is over, or about to be: then the result
                // is the reason of its close.
                ErrorKind::WouldBlock | ErrorKind::NotConnected => self.waits(waker, side),
                _ => Poll::Ready(Err(e)),
            },
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
        let is_task = matches!(by, Waits::Task(_));
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
                if is_task {
                    frame.waits_for(self.key.into());
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
