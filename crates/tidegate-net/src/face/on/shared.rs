//! Closures that get a value of the loop: [`OnShared`].
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, Shared};

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::handler::Handler;
use crate::error::close::{Close, Reason};
use crate::face::on::On;
use crate::peer_state::PeerState;

/// [`On`] with a value that the loop owns, by [`share`](AsCx::share). Made by [`On::shared`].
///
/// Nothing else has the value while a closure runs: what the closure calls runs no callback. If
/// the value was closed, the connection is destroyed in place of the call, with the
/// [`LeaseError`](tidegate_loop::LeaseError); and when the connection closes, that is logged.
///
/// ```
/// use std::collections::BTreeSet;
/// use tidegate_loop::{AsCx, Loop};
/// use tidegate_net::{Net, On, OnShared, SocketKey};
/// let mut lp = Loop::new()?;
/// let members = lp.share(BTreeSet::new())?;
/// let member: OnShared<BTreeSet<SocketKey>> = On::shared(members)
///     .connect(|members, s| { members.insert(s.key()); })
///     .close(|members, s, _| { members.remove(&s.key()); });
/// # let _ = member;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct OnShared<T> {
    pub(crate) shared: Shared<T>,
    pub(crate) on: On,
}

impl On {
    /// Closures that get a value of the loop first, which other connections share.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let total = lp.share(0)?;
    /// let server = lp.listen("127.0.0.1:0", move |conn| {
    ///     conn.accept(On::shared(total).data(|total, _, chunk| *total += chunk.len()));
    /// })?;
    /// # lp.server(server).close()?;
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shared<T: 'static>(shared: Shared<T>) -> OnShared<T> {
        OnShared { shared, on: On::new() }
    }
}

/// `None`: the value is gone, and the connection with it.
pub(crate) fn lend<T: 'static, R>(
    shared: Shared<T>,
    s: &mut SocketCx<'_>,
    f: impl FnOnce(&mut T, &mut SocketCx<'_>) -> R,
) -> Option<R> {
    s.with(shared, f).map_err(|error| s.destroy_with(error)).ok()
}

fn call<T: 'static>(
    shared: Shared<T>,
    s: &mut SocketCx<'_>,
    f: impl FnOnce(&mut T, &mut SocketCx<'_>),
) {
    let _ = lend(shared, s, f);
}

impl<T: 'static> OnShared<T> {
    /// [`Handler::on_connect`].
    pub fn connect(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>) + 'static) -> Self {
        let on = self.on.connect(move |s| call(self.shared, s, &mut f));
        OnShared { on, ..self }
    }

    /// [`Handler::on_ready`].
    pub fn ready(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>) + 'static) -> Self {
        let on = self.on.ready(move |s| call(self.shared, s, &mut f));
        OnShared { on, ..self }
    }

    /// [`Handler::on_data`].
    pub fn data(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>, &[u8]) + 'static) -> Self {
        let on = self.on.data(move |s, chunk| call(self.shared, s, |value, s| f(value, s, chunk)));
        OnShared { on, ..self }
    }

    /// [`Handler::on_drain`].
    pub fn drain(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>) + 'static) -> Self {
        let on = self.on.drain(move |s| call(self.shared, s, &mut f));
        OnShared { on, ..self }
    }

    /// [`Handler::on_written`].
    pub fn written(
        self,
        mut f: impl FnMut(&mut T, &mut SocketCx<'_>, u64, Result<(), &Reason>) + 'static,
    ) -> Self {
        let on = self.on.written(move |s, id, result| {
            call(self.shared, s, |value, s| f(value, s, id, result));
        });
        OnShared { on, ..self }
    }

    /// [`Handler::on_end`].
    pub fn end(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>) + 'static) -> Self {
        let on = self.on.end(move |s| call(self.shared, s, &mut f));
        OnShared { on, ..self }
    }

    /// [`Handler::on_hangup`].
    pub fn hangup(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>, PeerState) + 'static) -> Self {
        let on = self.on.hangup(move |s, peer| call(self.shared, s, |value, s| f(value, s, peer)));
        OnShared { on, ..self }
    }

    /// [`Handler::on_finish`].
    pub fn finish(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>) + 'static) -> Self {
        let on = self.on.finish(move |s| call(self.shared, s, &mut f));
        OnShared { on, ..self }
    }

    /// [`Handler::on_timeout`]. Without it an idle connection is closed.
    pub fn timeout(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>) + 'static) -> Self {
        let on = self.on.timeout(move |s| call(self.shared, s, &mut f));
        OnShared { on, ..self }
    }

    /// [`Handler::on_timer`].
    pub fn timer(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>, u64) + 'static) -> Self {
        let on = self.on.timer(move |s, token| call(self.shared, s, |value, s| f(value, s, token)));
        OnShared { on, ..self }
    }

    /// [`Handler::on_shutdown`]. Without it our side ends after what is queued.
    pub fn shutdown(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>) + 'static) -> Self {
        let on = self.on.shutdown(move |s| call(self.shared, s, &mut f));
        OnShared { on, ..self }
    }

    /// [`Handler::on_close`].
    pub fn close(self, mut f: impl FnMut(&mut T, &mut SocketCx<'_>, Close) + 'static) -> Self {
        let on = self.on.close(move |s, close| {
            let mut close = Some(close);
            let _ = s.with(self.shared, |value, s| {
                close.take().into_iter().for_each(|close| f(value, s, close));
            });
            // The value is gone.
            if let Some(close) = close {
                close.unhandled(&mut s.cx());
            }
        });
        OnShared { on, ..self }
    }
}

impl<T: 'static> Handler for OnShared<T> {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.on.on_connect(s);
    }
    fn on_ready(&mut self, s: &mut SocketCx<'_>) {
        self.on.on_ready(s);
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.on.on_data(s, chunk);
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.on.on_drain(s);
    }
    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, result: Result<(), &Reason>) {
        self.on.on_written(s, id, result);
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.on.on_end(s);
    }
    fn on_hangup(&mut self, s: &mut SocketCx<'_>, peer: PeerState) {
        self.on.on_hangup(s, peer);
    }
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.on.on_finish(s);
    }
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        self.on.on_shutdown(s);
    }
    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        self.on.on_timeout(s);
    }
    fn on_timer(&mut self, s: &mut SocketCx<'_>, token: u64) {
        self.on.on_timer(s, token);
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        self.on.on_close(s, close);
    }
}
