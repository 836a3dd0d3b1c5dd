//! [`AsyncUdp`]: a UDP socket for tasks.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidegate_loop::{AsCx, Cx};
use tidegate_net::{
    Meta, Net, NetError, SendFlow, SendOptions, UdpClose, UdpCx, UdpHandler, UdpKey, UdpOptions,
};

use crate::error::not_on_loop::NotOnLoop;
use crate::state::janitor::{act, home};
use crate::state::layer::ASYNC;
use crate::state::net::UdpState;
use crate::sys::current;
use crate::tasks::wake::wake;
use crate::wake::home::{Home, Note};
use crate::wake::waiter::{Waiter, Waits};

/// A UDP socket for tasks. Dropping it closes the socket, after what was sent.
///
/// Up to [`datagrams`](crate::AsyncLimits::datagrams) of them wait here for a task; more wait in the
/// kernel.
///
/// ```
/// use tidegate_async::{AsyncUdp, BlockOn};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// lp.block_on(async {
///     let (a, b) = (AsyncUdp::bind("127.0.0.1:0")?, AsyncUdp::bind("127.0.0.1:0")?);
///     a.send_to(b"tide", b.local_addr()?).await?;
///     let mut buffer = [0; 16];
///     let (n, from) = b.recv_from(&mut buffer).await?;
///     assert_eq!((&buffer[..n], from), (&b"tide"[..], a.local_addr()?));
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct AsyncUdp {
    key: UdpKey,
    at: usize,
    home: Arc<Home>,
}

/// What the net crate calls.
struct Queue {
    at: usize,
}

impl Queue {
    /// Changes the state; then wakes whom the answer names.
    fn change(&self, u: &mut UdpCx<'_>, f: impl FnOnce(&mut UdpState) -> Waiter) {
        let mut cx = u.cx();
        let Some(state) = cx.layer(&ASYNC).0.udp.get_mut(self.at) else { return };
        let waiter = f(state);
        wake(&mut cx, waiter);
    }
}

impl UdpHandler for Queue {
    fn on_datagram(&mut self, u: &mut UdpCx<'_>, data: &[u8], meta: &Meta) {
        let limit = u.cx().layer(&ASYNC).0.limits.datagrams;
        let mut full = false;
        self.change(u, |state| {
            state.received.push_back((*meta, data.len()));
            state.bytes.extend(data);
            full = state.received.len() >= limit;
            state.paused |= full;
            state.reader.take()
        });
        if full {
            u.pause();
        }
    }

    fn on_drain(&mut self, u: &mut UdpCx<'_>) {
        self.change(u, |state| {
            state.full = false;
            state.writer.take()
        });
    }

    fn on_send_error(&mut self, u: &mut UdpCx<'_>, error: tidegate_net::SendError) {
        self.fail(u, error.error);
    }

    fn on_error(&mut self, u: &mut UdpCx<'_>, error: NetError) {
        self.fail(u, error);
    }

    fn on_close(&mut self, u: &mut UdpCx<'_>, _: UdpClose) {
        let mut writer = Waiter::Nobody;
        self.change(u, |state| {
            state.closed = true;
            writer = state.writer.take();
            state.reader.take()
        });
        wake(&mut u.cx(), writer);
    }
}

impl Queue {
    /// What the network said of an earlier datagram: the next receive has it.
    fn fail(&self, u: &mut UdpCx<'_>, error: NetError) {
        self.change(u, |state| {
            state.error = Some(io::Error::new(error.kind(), error));
            state.reader.take()
        });
    }
}

enum Step<T> {
    Done(io::Result<T>),
    Waits(Waiter),
    Spent,
}

impl AsyncUdp {
    /// Opens a socket, in a task.
    pub fn bind(at: impl Into<UdpOptions>) -> io::Result<AsyncUdp> {
        let options = at.into();
        let bound = current::with(|frame| {
            let mut cx = frame.cx();
            let home = home(&mut cx)?;
            let at = cx.layer(&ASYNC).0.udp.insert(UdpState::default());
            match cx.udp(options, Queue { at }) {
                Ok(key) => {
                    if let Some(state) = cx.layer(&ASYNC).0.udp.get_mut(at) {
                        state.key = Some(key);
                    }
                    Ok(AsyncUdp { key, at, home })
                }
                Err(e) => {
                    cx.layer(&ASYNC).0.udp.remove(at);
                    Err(io::Error::new(e.kind(), e))
                }
            }
        });
        bound.map_err(NotOnLoop::from)?
    }

    /// Its key, as that of any UDP socket.
    pub fn key(&self) -> UdpKey {
        self.key
    }

    /// Calls `f` at once with the socket as callbacks see it, for its options, groups and facts.
    ///
    /// ```
    /// use tidegate_async::AsyncUdp;
    /// fn to_peer(udp: &AsyncUdp, peer: std::net::SocketAddr) -> std::io::Result<()> {
    ///     udp.with(|u| u.connect(peer))?
    /// }
    /// # let _ = to_peer;
    /// ```
    pub fn with<R>(&self, f: impl FnOnce(&mut UdpCx<'_>) -> R) -> Result<R, NotOnLoop> {
        current::with(|frame| {
            let mut cx = frame.cx();
            if !cx.layer(&ASYNC).0.is_home(&self.home) {
                return Err(NotOnLoop::Foreign);
            }
            Ok(f(&mut cx.datagrams(self.key)))
        })?
    }

    /// Where it is bound: the port that the system chose for 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(|u| u.local_addr())?
    }

    /// The next datagram, and who sent it. What `buffer` has no room for is lost. An error is what
    /// the network said of an earlier datagram, or that the socket is closed. Dropping the future
    /// loses no datagram.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_recv(cx, buffer)).await.map(|(n, meta)| (n, meta.from))
    }

    /// As [`recv_from`](AsyncUdp::recv_from), with all that is known of the datagram.
    pub async fn recv_meta(&self, buffer: &mut [u8]) -> io::Result<(usize, Meta)> {
        poll_fn(|cx| self.poll_recv(cx, buffer)).await
    }

    /// [`recv_meta`](AsyncUdp::recv_meta) as a poll.
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, Meta)>> {
        self.step(cx, |state, by| {
            if let Some((meta, len)) = state.received.pop_front() {
                let n = len.min(buffer.len());
                for (to, from) in buffer.iter_mut().zip(state.bytes.drain(..len)) {
                    *to = from;
                }
                if state.received.is_empty() {
                    state.bytes = std::collections::VecDeque::new();
                }
                return Step::Done(Ok((n, meta)));
            }
            match state.error.take() {
                Some(e) => Step::Done(Err(e)),
                None if state.closed => Step::Done(Err(closed())),
                None => Step::Waits(state.reader.keep(by)),
            }
        })
    }

    /// Sends a datagram; waits while the socket's queue is full. It leaves when the task waits.
    pub async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.send_with(data, SendOptions::to(to)).await
    }

    /// The same with more options, and to the peer that the socket is connected to.
    pub async fn send_with(&self, data: &[u8], options: SendOptions) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx, data, options)).await
    }

    /// [`send_with`](AsyncUdp::send_with) as a poll.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        options: SendOptions,
    ) -> Poll<io::Result<()>> {
        let waits = self.step(cx, |state, by| match (state.closed, state.full) {
            (true, _) => Step::Done(Err(closed())),
            (false, true) => Step::Waits(state.writer.keep(by)),
            (false, false) => Step::Done(Ok(())),
        });
        match waits {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let flow = match self.with(|u| u.send_with(data, options)) {
            Ok(flow) => flow,
            Err(e) => return Poll::Ready(Err(e.into())),
        };
        match flow {
            SendFlow::Closed => return Poll::Ready(Err(closed())),
            SendFlow::Full | SendFlow::Dropped => {}
            _ => return Poll::Ready(Ok(())),
        }
        let refused = flow == SendFlow::Dropped;
        self.step(cx, |state, by| {
            state.full = true;
            match refused {
                true => Step::Waits(state.writer.keep(by)),
                false => Step::Done(Ok(())),
            }
        })
    }

    fn step<T>(
        &self,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut UdpState, Waits<'_>) -> Step<T>,
    ) -> Poll<io::Result<T>> {
        let step = current::with(|frame| {
            let spent = !frame.take_operation();
            let by = Waits::new(frame, cx.waker());
            let mut cx = frame.cx();
            let layer = cx.layer(&ASYNC).0;
            if !layer.is_home(&self.home) {
                return Step::Done(Err(NotOnLoop::Foreign.into()));
            }
            if spent {
                layer.metrics.budget_spent += 1;
                return Step::Spent;
            }
            let Some(state) = layer.udp.get_mut(self.at) else {
                return Step::Done(Err(closed()));
            };
            let step = f(state, by);
            if state.paused && state.received.is_empty() {
                state.paused = false;
                cx.datagrams(self.key).resume();
            }
            step
        });
        match step.unwrap_or_else(|e| Step::Done(Err(NotOnLoop::from(e).into()))) {
            Step::Done(done) => Poll::Ready(done),
            Step::Waits(before) => {
                drop(before);
                Poll::Pending
            }
            Step::Spent => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(ErrorKind::NotConnected, "the socket is closed")
}

fn dropped(cx: &mut Cx<'_>, note: Note) {
    let (layer, mut driver) = cx.layer(&ASYNC);
    let Some(mut state) = layer.udp.try_remove(note.at) else { return };
    for waiter in [state.reader.take(), state.writer.take()] {
        if let Waiter::Other(waker) = waiter {
            driver.bury(waker);
        }
    }
    if let Some(key) = state.key {
        cx.datagrams(key).end();
    }
}

impl Drop for AsyncUdp {
    fn drop(&mut self) {
        act(&self.home, Note::new(dropped, self.key, self.at));
    }
}

impl fmt::Debug for AsyncUdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncUdp").field(&self.key).finish()
    }
}
